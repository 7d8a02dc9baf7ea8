// The operator's rules for its parameters: the one place that knows them.
#pragma once

#include <string>

#include "rrelu.h"

namespace ort_rrelu {

// Empty when all is well, else "name=value, what is wrong: what is allowed".
std::string CheckParams(const ort_rrelu_params& params);

// The part that does not depend on bounds or mode.
std::string CheckDtype(int32_t dtype);

}  // namespace ort_rrelu
