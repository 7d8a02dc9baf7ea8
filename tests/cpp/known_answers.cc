// Philox, slopes, derived seeds, hashes and reserves against tests/known_answers.txt, whose header names the
// columns.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "element.h"
#include "expect.h"
#include "rrelu.h"
#include "schema.h"
#include "seeds.h"
#include "slope.h"

namespace ort_rrelu {
namespace {

using Words = std::vector<std::string>;

uint32_t Hex(const std::string& word) { return static_cast<uint32_t>(std::stoul(word, nullptr, 16)); }

uint64_t Unsigned(const std::string& word) { return std::stoull(word); }

uint64_t Signed(const std::string& word) { return static_cast<uint64_t>(std::stoll(word)); }

std::string HexText(uint64_t value, int digits) {
  char text[17];
  std::snprintf(text, sizeof text, "%0*llx", digits, static_cast<unsigned long long>(value));
  return text;
}

float FloatOf(const std::string& word) {
  const uint32_t bits = Hex(word);
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

std::string BitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return HexText(bits, 8);
}

std::string PhiloxAnswer(const Words& in) {
  const Words4 counter = {{Hex(in.at(0)), Hex(in.at(1)), Hex(in.at(2)), Hex(in.at(3))}};
  const Words4 out = Philox4x32(counter, {{Hex(in.at(4)), Hex(in.at(5))}});
  std::string text;
  for (const uint32_t word : out.word) text += (text.empty() ? "" : " ") + HexText(word, 8);
  return text;
}

std::string SlopeAnswer(const Words& in) {
  const float lower = FloatOf(in.at(2));
  const float upper = FloatOf(in.at(3));
  const uint64_t element = Unsigned(in.at(4));
  const Words4 words = RandomBlock(Unsigned(in.at(0)), Signed(in.at(1)), element / kBlock);
  return BitsOf(Slope(HalfWord(words, static_cast<int>(element % kBlock)), lower, upper - lower));
}

std::string DerivedSeedAnswer(const Words& in) {
  return std::to_string(DeriveSeed(Unsigned(in.at(0)), Unsigned(in.at(1))));
}

std::string Fnv1aAnswer(const Words& in) { return HexText(Fnv1a(in.empty() ? "" : in.at(0)), 16); }

int32_t DtypeOf(const std::string& name) {
  for (const int dtype : schema::kElementTypes) {
    if (name == DtypeName(dtype)) return dtype;
  }
  return 0;
}

template <class T>
std::string ReserveText(const ort_rrelu_params& params, const Words& x) {
  std::vector<T> elements;
  for (const std::string& bits : x) elements.push_back(FromFloat<T>(FloatOf(bits)));
  std::vector<T> y(elements.size());
  std::vector<uint8_t> reserve(ort_rrelu_reserve_bytes_of_rows(x.size(), params.rows), 0xFF);
  char error[256];
  if (ort_rrelu_forward(&params, elements.data(), y.data(), nullptr, reserve.data(), x.size(), 0, x.size(),
                        error, sizeof error)) {
    return error;
  }
  std::string text;
  for (const uint8_t byte : reserve) text += HexText(byte, 2);
  return text;
}

std::string ReserveAnswer(const Words& in) {
  ort_rrelu_params params{};
  params.struct_size = sizeof params;
  params.dtype = DtypeOf(in.at(0));
  params.training = std::stoi(in.at(1));
  params.lower = FloatOf(in.at(2));
  params.upper = FloatOf(in.at(3));
  params.seed = Unsigned(in.at(4));
  params.step = Signed(in.at(5));
  return WithElement(params.dtype, [&](auto element) {
    return ReserveText<decltype(element)>(params, Words(in.begin() + 6, in.end()));
  });
}

// The steps that begin at word `at`, after their number.
std::vector<int64_t> StepsAt(const Words& in, size_t at) {
  std::vector<int64_t> steps;
  for (size_t i = 1; i <= Unsigned(in.at(at)); ++i)
    steps.push_back(static_cast<int64_t>(Signed(in.at(at + i))));
  return steps;
}

// By the kernel: the slope is the noise of a 0.
std::string RowSlopeAnswer(const Words& in) {
  const std::vector<int64_t> steps = StepsAt(in, 1);
  const size_t rest = 2 + steps.size();
  ort_rrelu_params params{};
  params.struct_size = sizeof params;
  params.dtype = ORT_RRELU_FLOAT;
  params.training = 1;
  params.seed = Unsigned(in.at(0));
  params.steps = steps.data();
  params.rows = steps.size();
  params.lower = FloatOf(in.at(rest + 1));
  params.upper = FloatOf(in.at(rest + 2));
  const uint64_t size = Unsigned(in.at(rest)), element = Unsigned(in.at(rest + 3));
  const uint64_t begin = element / 8 * 8, end = std::min(begin + 8, size);
  float x[8] = {}, y[8], noise[8];
  const auto zero = [begin](float* array) {  // where element 0 would be
    return reinterpret_cast<float*>(reinterpret_cast<uintptr_t>(array) - begin * sizeof(float));
  };
  char error[256];
  if (ort_rrelu_forward(&params, zero(x), zero(y), zero(noise), nullptr, size, begin, end, error,
                        sizeof error)) {
    return error;
  }
  return BitsOf(noise[element - begin]);
}

std::string RowReserveAnswer(const Words& in) {
  const std::vector<int64_t> steps = StepsAt(in, 5);
  ort_rrelu_params params{};
  params.struct_size = sizeof params;
  params.dtype = DtypeOf(in.at(0));
  params.training = std::stoi(in.at(1));
  params.lower = FloatOf(in.at(2));
  params.upper = FloatOf(in.at(3));
  params.seed = Unsigned(in.at(4));
  params.steps = steps.data();
  params.rows = steps.size();
  return WithElement(params.dtype, [&](auto element) {
    const auto x = in.begin() + 6 + static_cast<std::ptrdiff_t>(steps.size());
    return ReserveText<decltype(element)>(params, Words(x, in.end()));
  });
}

const std::map<std::string, std::function<std::string(const Words&)>> kAnswers = {
    {"philox4x32-10", PhiloxAnswer},     {"slope", SlopeAnswer},
    {"derived_seed", DerivedSeedAnswer}, {"fnv1a", Fnv1aAnswer},
    {"reserve", ReserveAnswer},          {"row_slope", RowSlopeAnswer},
    {"row_reserve", RowReserveAnswer},
};

void CheckLine(const std::string& line, Expectations& expect) {
  std::istringstream stream(line);
  std::string kind, word, wanted;
  stream >> kind;
  Words in;
  while (stream >> word && word != "->") in.push_back(word);
  while (stream >> word) wanted += (wanted.empty() ? "" : " ") + word;
  const std::string answer = kAnswers.at(kind)(in);
  expect.That(answer == wanted, line, ", not ", answer);
}

}  // namespace
}  // namespace ort_rrelu

int main(int argc, char** argv) {
  ort_rrelu::Expectations expect;
  std::ifstream table(argc == 2 ? argv[1] : "");
  for (std::string line; std::getline(table, line);) {
    if (!line.empty() && line[0] != '#') ort_rrelu::CheckLine(line, expect);
  }
  return expect.Result();
}
