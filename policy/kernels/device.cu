// What the CUDA library says of the GPUs it finds.
#include <cuda_runtime.h>

#include <cstring>

#include "configs/gpu.h"

int32_t cohort_cuda_num_devices(char* error, int64_t size) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess) return count;
  if (size > 0) std::strncpy(error, cudaGetErrorString(status), size_t(size) - 1), error[size - 1] = 0;
  return 0;
}

int32_t cohort_cuda_device(int32_t index, cohort::GpuDevice* device) {
  cudaDeviceProp properties;
  const cudaError_t status = cudaGetDeviceProperties(&properties, index);
  if (status != cudaSuccess) return int32_t(status);
  std::memcpy(device->name, properties.name, sizeof device->name);
  device->memory_bytes = int64_t(properties.totalGlobalMem);
  device->compute_major = properties.major, device->compute_minor = properties.minor;
  device->multiprocessors = properties.multiProcessorCount;
  return 0;
}
