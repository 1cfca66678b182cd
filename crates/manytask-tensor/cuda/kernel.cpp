// Kernels that are compiled at run time (NVRTC), behind a C interface: part of the library of capture.cpp.
//
// NVRTC and the driver are reached through libcaffe2_nvrtc, which lies beside libtorch_cuda and knows where both are, so that nothing has to be
// linked. Every function answers 0, or 1 with a message in `message`; no exception leaves it.

#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda.h>
#include <dlfcn.h>
#include <nvrtc.h>

#include <cstdio>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>

namespace {

template <class F>
int told(char* message, size_t length, F run) {
  try {
    run();
    return 0;
  } catch (const std::exception& error) {
    if (length > 0) std::snprintf(message, length, "%s", error.what());
  } catch (...) {
    if (length > 0) std::snprintf(message, length, "unknown exception");
  }
  return 1;
}

void* library() {
  static void* opened = dlopen("libcaffe2_nvrtc.so", RTLD_NOW | RTLD_LOCAL);
  if (!opened) throw std::runtime_error(dlerror());
  return opened;
}

template <class F>
F* function(const char* name) {
  void* found = dlsym(library(), name);
  if (!found) throw std::runtime_error(std::string(name) + " is in neither NVRTC nor the driver");
  return reinterpret_cast<F*>(found);
}

#define FOUND(name) function<decltype(name)>(#name)

void check(CUresult result, const char* what) {
  if (result == CUDA_SUCCESS) return;
  const char* text = nullptr;
  FOUND(cuGetErrorString)(result, &text);
  throw std::runtime_error(std::string(what) + ": " + (text ? text : "unknown error"));
}

void check(nvrtcResult result, const char* what) {
  if (result != NVRTC_SUCCESS) throw std::runtime_error(std::string(what) + ": " + FOUND(nvrtcGetErrorString)(result));
}

struct OnDevice {
  explicit OnDevice(c10::DeviceIndex device) : before(c10::cuda::ExchangeDevice(device)) {}
  ~OnDevice() { c10::cuda::MaybeSetDevice(before); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;
  c10::DeviceIndex before;
};

struct Kernel {
  c10::DeviceIndex device;
  CUmodule module = nullptr;
  CUfunction function = nullptr;
  unsigned shared = 0;
};

int attribute(int device, CUdevice_attribute which) {
  int value = 0;
  check(FOUND(cuDeviceGetAttribute)(&value, which, device), "cuDeviceGetAttribute");
  return value;
}

std::string compiled(const char* source, int device) {
  const int major = attribute(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
  const int minor = attribute(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  const std::string architecture = "--gpu-architecture=sm_" + std::to_string(10 * major + minor);
  nvrtcProgram program = nullptr;
  check(FOUND(nvrtcCreateProgram)(&program, source, "kernel.cu", 0, nullptr, nullptr), "nvrtcCreateProgram");
  const char* options[] = {architecture.c_str(), "--std=c++17", "--device-as-default-execution-space"};
  const nvrtcResult result = FOUND(nvrtcCompileProgram)(program, 3, options);
  std::string text;
  size_t size = 0;
  if (result != NVRTC_SUCCESS) {
    FOUND(nvrtcGetProgramLogSize)(program, &size);
    text.resize(size);
    FOUND(nvrtcGetProgramLog)(program, text.data());
  } else {
    check(FOUND(nvrtcGetCUBINSize)(program, &size), "nvrtcGetCUBINSize");
    text.resize(size);
    check(FOUND(nvrtcGetCUBIN)(program, text.data()), "nvrtcGetCUBIN");
  }
  FOUND(nvrtcDestroyProgram)(&program);
  if (result != NVRTC_SUCCESS) throw std::runtime_error("NVRTC refuses a kernel: " + text);
  return text;
}

} // namespace

extern "C" {

// The bytes of shared memory that a block may have.
int manytask_kernel_shared(int device, size_t* out, char* message, size_t length) {
  return told(message, length, [&] {
    *out = static_cast<size_t>(attribute(device, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN));
  });
}

// Compiles one function of a source for a device; each block has so many bytes of shared memory.
int manytask_kernel_new(int device, const char* source, const char* name, size_t shared, void** out, char* message, size_t length) {
  return told(message, length, [&] {
    OnDevice on(static_cast<c10::DeviceIndex>(device));
    // Makes the device's context, which loading a module needs.
    c10::cuda::device_synchronize();
    auto kernel = std::make_unique<Kernel>();
    kernel->device = static_cast<c10::DeviceIndex>(device);
    kernel->shared = static_cast<unsigned>(shared);
    const std::string binary = compiled(source, device);
    check(FOUND(cuModuleLoadData)(&kernel->module, binary.data()), "cuModuleLoadData");
    check(FOUND(cuModuleGetFunction)(&kernel->function, kernel->module, name), name);
    check(
        FOUND(cuFuncSetAttribute)(
            kernel->function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, static_cast<int>(shared)),
        "cuFuncSetAttribute");
    *out = kernel.release();
  });
}

// Launches it on the current stream; `arguments` are pointers to arguments.
int manytask_kernel_launch(void* handle, unsigned blocks, unsigned threads, void** arguments, char* message, size_t length) {
  return told(message, length, [&] {
    const auto* kernel = static_cast<const Kernel*>(handle);
    OnDevice on(kernel->device);
    CUstream stream = c10::cuda::getCurrentCUDAStream(kernel->device).stream();
    check(
        FOUND(cuLaunchKernel)(
            kernel->function, blocks, 1, 1, threads, 1, 1, kernel->shared, stream, arguments, nullptr),
        "cuLaunchKernel");
  });
}

void manytask_kernel_free(void* handle) {
  char message[1];
  told(message, sizeof message, [&] {
    std::unique_ptr<Kernel> kernel(static_cast<Kernel*>(handle));
    OnDevice on(kernel->device);
    c10::cuda::device_synchronize();
    check(FOUND(cuModuleUnload)(kernel->module), "cuModuleUnload");
  });
}

} // extern "C"
