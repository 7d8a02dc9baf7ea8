// RegisterCustomOps: what ONNX Runtime calls when it loads the library.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "error.h"
#include "ort/custom_op.h"
#include "ort/runtime.h"
#include "schema.h"

#if defined(_WIN32)
#define ORT_RRELU_REGISTER_EXPORT __declspec(dllexport)
#else
#define ORT_RRELU_REGISTER_EXPORT __attribute__((visibility("default")))
#endif

namespace ort_rrelu {
namespace {

// Session config entries: the first is ours to write, the second the user's (register(seed=), C++, Java...).
constexpr const char* kRegisteredEntry = "ort_rrelu.registered";
constexpr const char* kSeedEntry = "ort_rrelu.seed";
constexpr const char* kNoSeed = "no seed";

// The ops of one ONNX Runtime and one seed. They must outlive every session, so they are never freed, but
// shared by all registrations that ask for the same.
struct Registration {
  std::vector<CustomOp> draws;
  OrtCustomOpDomain* domain = nullptr;
};

// ONNX Runtime takes a provider that a session does not have for what it is.
std::vector<CustomOp> MakeDraws(const OrtApi* api, int runtime, std::optional<int64_t> seed) {
  std::vector<CustomOp> ops;
  AddCpuDraws(ops, api, runtime, seed);
#if defined(ORT_RRELU_HAS_CUDA)
  AddCudaDraws(ops, api, runtime, seed);
#endif
  return ops;
}

std::vector<CustomOp> MakeGradients(const OrtApi* api, int runtime) {
  std::vector<CustomOp> ops;
  AddCpuGradients(ops, api, runtime);
#if defined(ORT_RRELU_HAS_CUDA)
  AddCudaGradients(ops, api, runtime);
#endif
  return ops;
}

OrtCustomOpDomain* Domain(const OrtApi* api, int runtime, std::optional<int64_t> seed) {
  using Key = std::pair<const OrtApi*, std::optional<int64_t>>;
  static std::mutex mutex;
  static auto& registrations = *new std::map<Key, Registration>;
  static auto& gradients = *new std::map<const OrtApi*, std::vector<CustomOp>>;
  const std::lock_guard<std::mutex> lock(mutex);
  Registration& registration = registrations[{api, seed}];
  if (registration.domain != nullptr) return registration.domain;
  registration.draws = MakeDraws(api, runtime, seed);
  std::vector<CustomOp>& shared = gradients[api];
  if (shared.empty()) shared = MakeGradients(api, runtime);
  OrtCustomOpDomain* domain = nullptr;
  Check(api->CreateCustomOpDomain(schema::kDomain, &domain));
  for (const CustomOp& op : registration.draws) Check(api->CustomOpDomain_Add(domain, &op));
  for (const CustomOp& op : shared) Check(api->CustomOpDomain_Add(domain, &op));
  return registration.domain = domain;
}

std::optional<std::string> ConfigEntry(const OrtApi& api, const OrtSessionOptions* options,
                                       const char* name) {
  int present = 0;
  Check(api.HasSessionConfigEntry(options, name, &present));
  if (!present) return std::nullopt;
  return ReadString(
      [&](char* text, size_t* size) { return api.GetSessionConfigEntry(options, name, text, size); });
}

// strtoll would take blanks and signs before the digits, too.
std::optional<int64_t> ParseSeed(const std::optional<std::string>& text) {
  if (!text) return std::nullopt;
  const bool is_number = !text->empty() && text->find_first_not_of("0123456789") == std::string::npos;
  errno = 0;
  const long long seed = is_number ? std::strtoll(text->c_str(), nullptr, 10) : -1;
  if (is_number && errno == 0) return seed;
  Refuse(std::string("session config entry ") + kSeedEntry + "=\"" + *text +
         "\": it must be an integer from 0 to 2^63 - 1, in decimal digits and nothing else");
}

// The minor number of "1.19.2", 0 where there is none; a later major version has every API of this one.
int RuntimeMinor(const char* version) {
  char* rest = nullptr;
  if (std::strtol(version, &rest, 10) > 1) return kNewestApi;
  return *rest == '.' ? static_cast<int>(std::strtol(rest + 1, nullptr, 10)) : 0;
}

void Register(const OrtApi& api, int runtime, OrtSessionOptions* options) {
  const std::optional<std::string> seed_text = ConfigEntry(api, options, kSeedEntry);
  const std::optional<int64_t> seed = ParseSeed(seed_text);
  const std::string wanted = seed ? std::to_string(*seed) : kNoSeed;
  const std::optional<std::string> present = ConfigEntry(api, options, kRegisteredEntry);
  if (present && *present == wanted) return;
  if (present) {
    Refuse("ort_rrelu is registered with these session options already, with seed \"" + *present + "\"; \"" +
           wanted + "\" needs session options of its own");
  }
  Check(api.AddCustomOpDomain(options, Domain(&api, runtime, seed)));
  Check(api.AddSessionConfigEntry(options, kRegisteredEntry, wanted.c_str()));
}

}  // namespace
}  // namespace ort_rrelu

extern "C" ORT_RRELU_REGISTER_EXPORT OrtStatus* ORT_API_CALL RegisterCustomOps(OrtSessionOptions* options,
                                                                               const OrtApiBase* base) {
  using namespace ort_rrelu;
  const char* version = base->GetVersionString();
  const int minor = RuntimeMinor(version);
  if (minor < kOldestRuntime) {
    char message[128];
    std::snprintf(message, sizeof message,
                  "ort_rrelu does not run on ONNX Runtime %s: it needs 1.%d or newer", version,
                  kOldestRuntime);
    return base->GetApi(1)->CreateStatus(ORT_NOT_IMPLEMENTED, message);
  }
  const OrtApi& api = *base->GetApi(static_cast<uint32_t>(std::min(minor, kNewestApi)));
  return Guard(api, [&] { Register(api, minor, options); });
}
