/* ONNX Runtime's C API with the library of a wheel, on systems where no Python of ours runs.
 * usage: session FILE_OF_ONNX_RUNTIME FILE_OF_ORT_RRELU FOLDER
 *
 * FOLDER/cases has a line for each NAME.onnx: `run NAME TYPE BYTES_OF_AN_ELEMENT ELEMENTS STEP`, with NAME.x
 * and what must come of it, NAME.y, or `refuse NAME TEXT` with the text that the message must have.
 * wheels/cases.py writes it.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(_WIN32)
#include <windows.h>
#else
#include <dlfcn.h>
#endif
#include <onnxruntime_c_api.h>

/* Of the oldest ONNX Runtime that works. */
#define API_VERSION 17

typedef const OrtApiBase* (*GetApiBase)(void);

static const OrtApi* api;
static OrtEnv* environment;
static const char* folder;

static void Fail(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  exit(1);
}

static void Check(OrtStatus* status, const char* what) {
  if (status != NULL) Fail("%s: %s", what, api->GetErrorMessage(status));
}

static GetApiBase Load(const char* path) {
#if defined(_WIN32)
  HMODULE library = LoadLibraryExA(path, NULL, LOAD_WITH_ALTERED_SEARCH_PATH);
  if (library == NULL) Fail("%s: LoadLibrary says %lu", path, GetLastError());
  GetApiBase function = (GetApiBase)(void*)GetProcAddress(library, "OrtGetApiBase");
#else
  void* library = dlopen(path, RTLD_NOW);
  if (library == NULL) Fail("%s", dlerror());
  GetApiBase function = (GetApiBase)dlsym(library, "OrtGetApiBase");
#endif
  if (function == NULL) Fail("%s has no OrtGetApiBase", path);
  return function;
}

/* A path as ONNX Runtime takes it. The caller frees nothing: the program is short. */
static const ORTCHAR_T* Native(const char* path) {
  ORTCHAR_T* copy = calloc(strlen(path) + 1, sizeof(ORTCHAR_T));
  if (copy == NULL) Fail("no memory");
  for (size_t i = 0; path[i] != 0; ++i) copy[i] = (ORTCHAR_T)path[i]; /* ASCII */
  return copy;
}

static char* PathOf(const char* name, const char* suffix) {
  char* path = malloc(strlen(folder) + strlen(name) + strlen(suffix) + 2);
  if (path == NULL) Fail("no memory");
  sprintf(path, "%s/%s%s", folder, name, suffix);
  return path;
}

static void* Read(const char* name, const char* suffix, size_t bytes) {
  char* path = PathOf(name, suffix);
  FILE* file = fopen(path, "rb");
  void* data = malloc(bytes + 1);
  if (file == NULL || data == NULL || fread(data, 1, bytes + 1, file) != bytes)
    Fail("%s: not %zu bytes", path, bytes);
  fclose(file);
  free(path);
  return data;
}

static OrtStatus* Open(const char* library, const char* name, OrtSession** session) {
  OrtSessionOptions* options;
  Check(api->CreateSessionOptions(&options), "CreateSessionOptions");
  Check(api->RegisterCustomOpsLibrary_V2(options, Native(library)), "RegisterCustomOpsLibrary_V2");
  OrtStatus* status = api->CreateSession(environment, Native(PathOf(name, ".onnx")), options, session);
  api->ReleaseSessionOptions(options);
  return status;
}

static void RunCase(const char* library, const char* name, int type, int width, int64_t elements,
                    int64_t step) {
  OrtSession* session;
  Check(Open(library, name, &session), name);
  const size_t bytes = (size_t)elements * (size_t)width;
  void* x = Read(name, ".x", bytes);
  void* expected = Read(name, ".y", bytes);
  OrtMemoryInfo* memory;
  Check(api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory), "CreateCpuMemoryInfo");
  OrtValue* inputs[2];
  Check(api->CreateTensorWithDataAsOrtValue(memory, x, bytes, &elements, 1, (ONNXTensorElementDataType)type,
                                            &inputs[0]),
        name);
  Check(api->CreateTensorWithDataAsOrtValue(memory, &step, sizeof step, NULL, 0,
                                            ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, &inputs[1]),
        name);
  const char* input_names[] = {"x", "step"};
  const char* output_names[] = {"y"};
  OrtValue* output = NULL;
  Check(api->Run(session, NULL, input_names, (const OrtValue* const*)inputs, 2, output_names, 1, &output),
        name);
  void* y;
  Check(api->GetTensorMutableData(output, &y), name);
  if (memcmp(y, expected, bytes) != 0) Fail("%s: the bits differ", name);
  api->ReleaseValue(output);
  api->ReleaseValue(inputs[0]);
  api->ReleaseValue(inputs[1]);
  api->ReleaseMemoryInfo(memory);
  api->ReleaseSession(session);
  free(x);
  free(expected);
}

static void RefuseCase(const char* library, const char* name, const char* text) {
  OrtSession* session;
  OrtStatus* status = Open(library, name, &session);
  if (status == NULL) Fail("%s: it was not refused", name);
  if (strstr(api->GetErrorMessage(status), text) == NULL)
    Fail("%s: refused with %s", name, api->GetErrorMessage(status));
  api->ReleaseStatus(status);
}

int main(int count, char** arguments) {
  if (count != 4) Fail("usage: session FILE_OF_ONNX_RUNTIME FILE_OF_ORT_RRELU FOLDER");
  const OrtApiBase* base = Load(arguments[1])();
  api = base->GetApi(API_VERSION);
  if (api == NULL) Fail("ONNX Runtime %s has no API of version %d", base->GetVersionString(), API_VERSION);
  folder = arguments[3];
  Check(api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "wheels", &environment), "CreateEnv");
  FILE* cases = fopen(PathOf("cases", ""), "r");
  if (cases == NULL) Fail("%s has no file cases", folder);
  char line[512], name[64], text[256];
  int runs = 0, refusals = 0, type, width;
  long long elements, step;
  while (fgets(line, sizeof line, cases) != NULL) {
    if (sscanf(line, "run %63s %d %d %lld %lld", name, &type, &width, &elements, &step) == 5) {
      RunCase(arguments[2], name, type, width, elements, step);
      ++runs;
    } else if (sscanf(line, "refuse %63s %255[^\r\n]", name, text) == 2) {
      RefuseCase(arguments[2], name, text);
      ++refusals;
    } else {
      Fail("what is: %s", line);
    }
  }
  api->ReleaseEnv(environment);
  printf("ONNX Runtime %s: %d models with the bits of here, %d refused\n", base->GetVersionString(), runs,
         refusals);
  return runs > 0 && refusals > 0 ? 0 : 1;
}
