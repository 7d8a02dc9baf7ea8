// The operators of CUDA, as ops of the CPU's execution provider: so a machine without a GPU runs what the
// host does for them.
#include <optional>
#include <vector>

#include "ort/custom_op.h"
#include "ort/runtime.h"
#include "schema.h"

extern "C" __attribute__((visibility("default"))) OrtStatus* ORT_API_CALL
RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base) {
  using namespace ort_rrelu;
  static const OrtApi* const api = base->GetApi(kNewestApi);
  static auto& ops = *new std::vector<CustomOp>;
  static OrtCustomOpDomain* domain = nullptr;
  return Guard(*api, [&] {
    if (domain == nullptr) {
      AddCudaDraws(ops, api, kNewestApi, std::nullopt);
      AddCudaGradients(ops, api, kNewestApi);
      Check(api->CreateCustomOpDomain(schema::kDomain, &domain));
      for (CustomOp& op : ops) {
        op.GetExecutionProviderType = [](const OrtCustomOp*) -> const char* {
          return "CPUExecutionProvider";
        };
        Check(api->CustomOpDomain_Add(domain, &op));
      }
    }
    Check(api->AddCustomOpDomain(options, domain));
  });
}
