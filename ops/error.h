// What goes wrong, as the one type that is thrown inside the library; guards turn it into what C takes: Guard
// of rrelu.cc for the C API, that of ort/runtime.h for ONNX Runtime.
#pragma once

#include <string>
#include <utility>

namespace ort_rrelu {

// The C API's codes.
inline constexpr int kRefused = 1;  // an argument
inline constexpr int kFailed = 2;   // the machine, or this build

struct Error {
  int code;
  std::string message;
};

[[noreturn]] inline void Refuse(std::string message) { throw Error{kRefused, std::move(message)}; }
[[noreturn]] inline void Fail(std::string message) { throw Error{kFailed, std::move(message)}; }

// f(); the messages of its errors get the prefix.
template <class F>
auto WithPrefix(const char* prefix, const F& f) {
  try {
    return f();
  } catch (Error& error) {
    error.message.insert(0, prefix);
    throw;
  }
}

}  // namespace ort_rrelu
