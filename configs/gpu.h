// The CUDA library: a shared library beside the program (libcohort_cuda.so), built where nvcc is, opened where a GPU
// is. Its functions have C names, so that this program needs neither CUDA nor its headers.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace cohort {

struct GpuDevice {  // also the form in which the library fills it in
  char name[256];
  int64_t memory_bytes;
  int32_t compute_major, compute_minor, multiprocessors;
};

struct CudaLibrary {
  bool found = false;  // libcohort_cuda.so stands beside the program and can be loaded
  std::string error;   // why there are no devices, "" where there are
  std::vector<GpuDevice> devices;
};

/// Opens the library and asks it for its devices. Does not throw.
CudaLibrary cuda_library();

}  // namespace cohort

extern "C" {
/// Number of CUDA devices; on an error 0 and its text in `error` (at most `size` bytes with the final 0).
int32_t cohort_cuda_num_devices(char* error, int64_t size);
/// Fills in device `index`; 0, or CUDA's error number.
int32_t cohort_cuda_device(int32_t index, cohort::GpuDevice* device);
}
