#include "configs/gpu.h"

#include <dlfcn.h>

#include <filesystem>

namespace cohort {
namespace {

namespace fs = std::filesystem;

/// Beside the program in a build folder, in ../lib where it is installed.
void* open_library() {
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const fs::path& place : {folder, folder / "../lib"})
    if (void* library = dlopen((place / "libcohort_cuda.so").c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  return nullptr;
}

}  // namespace

CudaLibrary cuda_library() {
  CudaLibrary result;
  void* library = open_library();  // stays open: CUDA does not bear being unloaded
  if (!library) return result;
  auto* num_devices = reinterpret_cast<decltype(&cohort_cuda_num_devices)>(dlsym(library, "cohort_cuda_num_devices"));
  auto* fill_in = reinterpret_cast<decltype(&cohort_cuda_device)>(dlsym(library, "cohort_cuda_device"));
  result.found = num_devices && fill_in;
  if (!result.found) return result;
  char error[256] = "";
  const int32_t count = num_devices(error, sizeof error);
  result.error = error;
  for (int32_t i = 0; i < count; ++i) {
    GpuDevice device{};
    if (fill_in(i, &device) == 0) result.devices.push_back(device);
  }
  return result;
}

}  // namespace cohort
