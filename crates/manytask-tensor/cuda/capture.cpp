// CUDA graphs, and the choice of TF32, behind a C interface: libtorch's binding for Rust has neither.
//
// Built by `cargo xtask setup --cuda` and opened at run time after libtorch_cuda. Every function answers 0, or 1 with a message
// in `message`; no exception leaves it.

#include <ATen/Context.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

#include <cstdio>
#include <exception>
#include <memory>
#include <optional>

namespace {

template <class F>
int caught(char* message, size_t length, F run) {
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

// Makes a device the current one as long as it lives.
struct OnDevice {
  explicit OnDevice(c10::DeviceIndex device) : before(c10::cuda::ExchangeDevice(device)) {}
  ~OnDevice() { c10::cuda::MaybeSetDevice(before); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;
  c10::DeviceIndex before;
};

// A graph, and the stream on which it is recorded.
struct Capture {
  explicit Capture(c10::DeviceIndex device)
      : device(device), stream(c10::cuda::getStreamFromPool(false, device)) {}
  c10::DeviceIndex device;
  c10::cuda::CUDAStream stream;
  std::optional<c10::cuda::CUDAStream> before;
  std::unique_ptr<at::cuda::CUDAGraph> graph = std::make_unique<at::cuda::CUDAGraph>();
  bool recording = false;
};

} // namespace

extern "C" {

// Makes a stream of its own the current one: what is launched before `begin` warms it up.
int manytask_capture_new(int device, void** out, char* message, size_t length) {
  return caught(message, length, [&] {
    auto index = static_cast<c10::DeviceIndex>(device);
    OnDevice on(index);
    auto capture = std::make_unique<Capture>(index);
    c10::cuda::device_synchronize();
    capture->before = c10::cuda::getCurrentCUDAStream(index);
    c10::cuda::setCurrentCUDAStream(capture->stream);
    *out = capture.release();
  });
}

int manytask_capture_begin(void* handle, char* message, size_t length) {
  return caught(message, length, [&] {
    auto* capture = static_cast<Capture*>(handle);
    OnDevice on(capture->device);
    c10::cuda::device_synchronize();
    capture->graph->capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    capture->recording = true;
  });
}

// Ends recording, also after what was recorded has failed, and goes back to the stream that was current before.
int manytask_capture_end(void* handle, char* message, size_t length) {
  auto* capture = static_cast<Capture*>(handle);
  int code = 0;
  if (capture->recording) {
    capture->recording = false;
    code = caught(message, length, [&] {
      OnDevice on(capture->device);
      capture->graph->capture_end();
    });
  }
  if (capture->before) {
    int restored = caught(message, length, [&] {
      OnDevice on(capture->device);
      c10::cuda::setCurrentCUDAStream(*capture->before);
      capture->before.reset();
      c10::cuda::device_synchronize();
    });
    code = code == 0 ? restored : code;
  }
  return code;
}

// Launches the graph on the current stream.
int manytask_capture_replay(void* handle, char* message, size_t length) {
  return caught(message, length, [&] {
    auto* capture = static_cast<Capture*>(handle);
    OnDevice on(capture->device);
    capture->graph->replay();
  });
}

void manytask_capture_free(void* handle) {
  char message[1];
  caught(message, sizeof message, [&] { delete static_cast<Capture*>(handle); });
}

// Whether products and convolutions of float32 may round their operands to TF32. libtorch's convolutions do so unless told not to.
int manytask_allow_tf32(int allowed, char* message, size_t length) {
  return caught(message, length, [&] {
    at::globalContext().setAllowTF32CuBLAS(allowed != 0);
    at::globalContext().setAllowTF32CuDNN(allowed != 0);
  });
}

} // extern "C"
