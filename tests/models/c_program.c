/* What a C program needs of ort_rrelu: the header and the library that pkg-config names. */
#include <ort_rrelu/rrelu.h>
#include <stdio.h>

int main(void) {
  const float x[] = {-1, -2, -3, 4};
  float y[4];
  char message[256] = "";
  const ort_rrelu_params params = {.struct_size = sizeof params,
                                   .dtype = ORT_RRELU_FLOAT,
                                   .lower = 0.125f,
                                   .upper = 0.25f,
                                   .training = 1,
                                   .seed = 7,
                                   .step = 5};
  if (ort_rrelu_abi() != ORT_RRELU_ABI) return 1;
  if (ort_rrelu_forward(&params, x, y, NULL, NULL, 4, 0, 4, message, sizeof message)) {
    fprintf(stderr, "%s\n", message);
    return 1;
  }
  for (int i = 0; i < 4; ++i) printf("%a\n", y[i]);
  return 0;
}
