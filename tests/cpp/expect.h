// Failures, printed and counted: main() returns Result().
#pragma once

#include <iostream>

namespace ort_rrelu {

class Expectations {
 public:
  // Prints the parts when `holds` is false; a test that breaks everywhere must not fill the disk.
  template <class... Parts>
  void That(bool holds, const Parts&... parts) {
    ++checks_;
    if (holds) return;
    if (++failures_ <= kMostPrinted) (std::cerr << ... << parts) << '\n';
  }

  // Nothing checked is a failure too: the data may be missing.
  int Result() const {
    std::cout << checks_ << " checks, " << failures_ << " failures\n";
    return checks_ == 0 || failures_ > 0 ? 1 : 0;
  }

 private:
  static constexpr int kMostPrinted = 20;
  long checks_ = 0;
  long failures_ = 0;
};

}  // namespace ort_rrelu
