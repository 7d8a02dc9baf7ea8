// Sessions that are registered, opened, run and dropped in several threads at a time.
// usage: sessions_in_threads FILE_OF_ONNX_RUNTIME MODEL [same-output]
//
// same-output: runs at the same time write into one array, a race of our kernels that a sanitizer must see.
#include <dlfcn.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "expect.h"
#include "onnxruntime_c_api.h"
#include "ordered_api.h"

extern "C" OrtStatus* ORT_API_CALL RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base);

namespace ort_rrelu {
namespace {

constexpr int kThreads = 4;
constexpr int64_t kRows = 3;
constexpr int64_t kColumns = 40001;  // four chunks
constexpr int64_t kSize = kRows * kColumns;

const OrtApi* api;
OrtEnv* environment;

void Check(OrtStatus* status) {
  if (status == nullptr) return;
  std::cerr << api->GetErrorMessage(status) << '\n';
  std::exit(1);
}

const OrtApiBase* LoadRuntime(const char* path) {
  void* library = dlopen(path, RTLD_NOW);
  if (library == nullptr) {
    std::cerr << dlerror() << '\n';
    std::exit(1);
  }
  return reinterpret_cast<const OrtApiBase* (*)()>(dlsym(library, "OrtGetApiBase"))();
}

struct Deleter {
  void operator()(OrtSession* session) const { api->ReleaseSession(session); }
  void operator()(OrtValue* value) const { api->ReleaseValue(value); }
};
using Session = std::unique_ptr<OrtSession, Deleter>;
using Value = std::unique_ptr<OrtValue, Deleter>;

// Nodes without a seed get entropy.
constexpr int64_t kNoSeed = -1;

Session Open(const char* model, int64_t seed, int threads) {
  OrtSessionOptions* options = nullptr;
  Check(api->CreateSessionOptions(&options));
  Check(api->SetIntraOpNumThreads(options, threads));
  if (seed != kNoSeed) {
    Check(api->AddSessionConfigEntry(options, "ort_rrelu.seed", std::to_string(seed).c_str()));
  }
  Check(RegisterCustomOps(options, OrderedApi()));
  OrtSession* session = nullptr;
  Check(api->CreateSession(environment, model, options, &session));
  api->ReleaseSessionOptions(options);
  return Session(session);
}

template <class T>
Value Tensor(std::vector<T>& data, std::vector<int64_t> shape, ONNXTensorElementDataType type) {
  OrtMemoryInfo* memory = nullptr;
  Check(api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
  OrtValue* value = nullptr;
  Check(api->CreateTensorWithDataAsOrtValue(memory, data.data(), data.size() * sizeof(T), shape.data(),
                                            shape.size(), type, &value));
  api->ReleaseMemoryInfo(memory);
  return Value(value);
}

// As the model names them: by given steps one for all and one for each row, as the session counts, by the
// session's seed or entropy, in eval mode; then gradients by noise and by reserves of both versions.
constexpr std::array<const char*, 8> kOutputs = {"given",    "rows",     "counted",    "session",
                                                 "averaged", "by_noise", "by_reserve", "by_rows"};
enum Output { kGiven, kRowsGiven, kCounted, kOfSession, kAveraged, kByNoise, kByReserve, kByRows };

struct Results {
  std::array<std::vector<float>, kOutputs.size()> outputs;
  const std::vector<float>& operator[](Output output) const { return outputs[output]; }
};

std::vector<float> Input() {
  std::vector<float> x;
  for (uint32_t i = 0; i < kSize; ++i) {
    x.push_back(static_cast<float>(static_cast<int32_t>(i * 2654435761u)) * 0x1p-31f);
  }
  return x;
}

void RunInto(OrtSession* session, int64_t step, Results& results) {
  constexpr auto kFloat = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  std::vector<float> x = Input();
  std::vector<int64_t> steps(kRows, step);
  std::vector<int64_t> one{step};
  const Value x_value = Tensor(x, {kRows, kColumns}, kFloat);
  const Value one_value = Tensor(one, {1}, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64);
  const Value steps_value = Tensor(steps, {kRows}, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64);
  const char* names[] = {"x", "step", "steps"};
  const OrtValue* inputs[] = {x_value.get(), one_value.get(), steps_value.get()};
  std::vector<Value> kept;
  std::array<OrtValue*, kOutputs.size()> outputs{};
  for (size_t i = 0; i < kOutputs.size(); ++i) {
    results.outputs[i].resize(kSize);
    kept.push_back(Tensor(results.outputs[i], {kRows, kColumns}, kFloat));
    outputs[i] = kept.back().get();
  }
  Check(api->Run(session, nullptr, names, inputs, 3, kOutputs.data(), outputs.size(), outputs.data()));
}

Results RunOnce(OrtSession* session, int64_t step) {
  Results results;
  RunInto(session, step, results);
  return results;
}

void InThreads(const std::function<void(int)>& act) {
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(act, i);
  for (std::thread& thread : threads) thread.join();
}

void ExpectThoseOfTheStep(const Results& got, const Results& wanted, Expectations& expect) {
  for (const Output output : {kGiven, kRowsGiven, kAveraged, kByNoise, kByReserve, kByRows}) {
    expect.That(got[output] == wanted[output], kOutputs[output], " differs between threads");
  }
}

// Every thread has sessions of its own; seeds are shared by some of them, and new to the others.
void CheckSessionsOfThreads(const char* model, const Results& wanted, Expectations& expect) {
  constexpr int kSessions = 4;
  std::array<std::array<Results, kSessions>, kThreads> results;
  InThreads([&](int thread) {
    for (int i = 0; i < kSessions; ++i) {
      const int64_t seed = i == 0 ? kNoSeed : i == 1 ? 5 : 100 * i + thread;
      results[thread][i] = RunOnce(Open(model, seed, 1 + i % 2).get(), 0);
    }
  });
  std::set<std::vector<float>> of_sessions;
  for (const auto& of_thread : results) {
    for (const Results& result : of_thread) {
      ExpectThoseOfTheStep(result, wanted, expect);
      expect.That(result[kCounted] == wanted[kGiven], "a new session does not count from 0");
      of_sessions.insert(result[kOfSession]);
    }
  }
  // All but those of seed 5, which are one.
  expect.That(of_sessions.size() == kThreads * (kSessions - 1) + 1, of_sessions.size(), " kinds of draws");
}

// One session, whose runs in all threads draw what the numbers from 0 draw.
void CheckSharedSession(const char* model, const Results& wanted, int intra_threads, Expectations& expect) {
  constexpr int kRuns = 4;
  const Session session = Open(model, kNoSeed, intra_threads);
  std::array<std::array<Results, kRuns>, kThreads> results;
  InThreads([&](int thread) {
    for (Results& result : results[thread]) result = RunOnce(session.get(), 0);
  });
  std::set<std::vector<float>> counted;
  std::set<std::vector<float>> of_session;
  for (const auto& of_thread : results) {
    for (const Results& result : of_thread) {
      ExpectThoseOfTheStep(result, wanted, expect);
      counted.insert(result[kCounted]);
      of_session.insert(result[kOfSession]);
    }
  }
  expect.That(of_session.size() == kThreads * kRuns, of_session.size(), " kinds of draws by entropy");
  std::set<std::vector<float>> numbered;
  for (int64_t step = 0; step < kThreads * kRuns; ++step) {
    numbered.insert(RunOnce(session.get(), step)[kGiven]);
  }
  expect.That(counted == numbered, "runs of one session did not count each number once");
}

// The kernels write, in all threads, what is the caller's.
void RunIntoOneArray(const char* model) {
  const Session session = Open(model, kNoSeed, 1);
  Results results = RunOnce(session.get(), 0);
  InThreads([&](int) {
    for (int i = 0; i < 8; ++i) RunInto(session.get(), 0, results);
  });
}

}  // namespace
}  // namespace ort_rrelu

int main(int count, char** arguments) {
  using namespace ort_rrelu;
  if (count < 3) {
    std::cerr << "usage: sessions_in_threads FILE_OF_ONNX_RUNTIME MODEL [same-output]\n";
    return 2;
  }
  const OrtApiBase* base = LoadRuntime(arguments[1]);
  api = base->GetApi(kApiVersion);
  Order(base);
  Check(api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "sessions", &environment));
  const char* model = arguments[2];
  if (count > 3) {
    RunIntoOneArray(model);
    return 0;
  }
  Expectations expect;
  const Results wanted = RunOnce(Open(model, 5, 1).get(), 0);
  CheckSessionsOfThreads(model, wanted, expect);
  CheckSharedSession(model, wanted, 1, expect);
  CheckSharedSession(model, wanted, 2, expect);
  return expect.Result();
}
