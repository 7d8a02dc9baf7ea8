// Runs a classifier that has RRelu nodes, with ONNX Runtime's C++ API:
//   classify MODEL IMAGES LOGITS [STEP]
// IMAGES holds float32 values, as many images as the file has room for; the model's first input says their
// shape. LOGITS is written the same way. STEP goes to the model's input `step`, where it has one. Prints the
// class of each image.

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

std::vector<float> ReadFloats(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  if (!file || bytes.empty() || bytes.size() % sizeof(float) != 0) {
    throw std::runtime_error(std::string(path) + ": not a file of float32 values");
  }
  std::vector<float> values(bytes.size() / sizeof(float));
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(values.data()));
  return values;
}

void WriteFloats(const char* path, const float* values, size_t size) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(values), static_cast<std::streamsize>(size * sizeof(float)));
  if (!file.flush()) throw std::runtime_error(std::string(path) + ": cannot be written");
}

Ort::Session OpenSession(const Ort::Env& env, const char* model) {
  Ort::SessionOptions options;
  options.RegisterCustomOpsLibrary(ORT_RRELU_LIBRARY);
  return Ort::Session(env, model, options);
}

// As many images of the model's shape as the values make; the batch is the first dimension.
std::vector<int64_t> BatchShape(const Ort::Session& session, size_t values) {
  std::vector<int64_t> shape = session.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetShape();
  if (shape.empty()) throw std::runtime_error("the model's first input is a scalar: it takes no images");
  const int64_t image = std::accumulate(shape.begin() + 1, shape.end(), int64_t{1}, std::multiplies<>());
  if (image <= 0 || values % static_cast<size_t>(image) != 0) {
    throw std::runtime_error(std::to_string(values) + " values are no images of " + std::to_string(image));
  }
  shape[0] = static_cast<int64_t>(values) / image;
  return shape;
}

int64_t ParseStep(const std::string& text) {
  size_t end = 0;
  const int64_t step = std::stoll(text, &end);
  if (end != text.size()) throw std::runtime_error("step " + text + ": not a whole number");
  return step;
}

void Classify(const char* model, const char* images, const char* logits, int64_t step) {
  const Ort::Env env;
  Ort::Session session = OpenSession(env, model);
  const Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  Ort::AllocatorWithDefaultOptions allocator;

  std::vector<float> x = ReadFloats(images);
  const std::vector<int64_t> shape = BatchShape(session, x.size());
  std::vector<Ort::Value> inputs;
  inputs.push_back(Ort::Value::CreateTensor<float>(memory, x.data(), x.size(), shape.data(), shape.size()));
  if (session.GetInputCount() > 1) {
    inputs.push_back(Ort::Value::CreateTensor<int64_t>(memory, &step, 1, nullptr, 0));
  }
  const auto image_name = session.GetInputNameAllocated(0, allocator);
  const char* const input_names[] = {image_name.get(), "step"};
  const auto scores_name = session.GetOutputNameAllocated(0, allocator);
  const char* const output_names[] = {scores_name.get()};
  const auto outputs =
      session.Run(Ort::RunOptions(), input_names, inputs.data(), inputs.size(), output_names, 1);

  const auto info = outputs[0].GetTensorTypeAndShapeInfo();
  if (info.GetElementType() != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) {
    throw std::runtime_error(std::string(scores_name.get()) + ": not an output of float32 scores");
  }
  const float* scores = outputs[0].GetTensorData<float>();
  const size_t size = info.GetElementCount();
  const size_t classes = size / static_cast<size_t>(shape[0]);
  for (size_t i = 0; i < size; i += classes) {
    std::cout << std::max_element(scores + i, scores + i + classes) - (scores + i) << "\n";
  }
  WriteFloats(logits, scores, size);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4 || argc > 5) {
    std::cerr << "usage: classify MODEL IMAGES LOGITS [STEP]\n";
    return 2;
  }
  try {
    Classify(argv[1], argv[2], argv[3], argc > 4 ? ParseStep(argv[4]) : 0);
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
  }
}
