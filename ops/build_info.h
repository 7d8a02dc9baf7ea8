// What this library is, as JSON for `ort-rrelu info`.
#pragma once

#include <string>

namespace ort_rrelu {

std::string BuildInfo();

}  // namespace ort_rrelu
