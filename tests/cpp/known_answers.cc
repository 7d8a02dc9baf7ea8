// Philox, slopes, derived seeds and hashes against tests/known_answers.txt, whose header names the columns.
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "expect.h"
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

const std::map<std::string, std::function<std::string(const Words&)>> kAnswers = {
    {"philox4x32-10", PhiloxAnswer},
    {"slope", SlopeAnswer},
    {"derived_seed", DerivedSeedAnswer},
    {"fnv1a", Fnv1aAnswer},
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
