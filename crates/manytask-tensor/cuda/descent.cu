// MAML on a perceptron, one block of threads for each task: inner loop, query loss and meta-gradient without leaving the multiprocessor.
//
// The numbers of a network are constants that come before this text (`descent_kernel.rs`): LAYERS, SUPPORT, QUERY, STEPS, RATE,
// SECOND_ORDER, LOSS, and of each layer inputs, outputs, leak (the slope below 0), weight_moves, bias_moves, weight_at and bias_at
// (places in the vector of parameters). It is also C++ of one thread, for tests without a GPU (EMULATED).

#ifdef EMULATED
#include <cmath>
#define __device__
#define __syncthreads()
#define EACH(e, count) for (int e = 0; e < (count); ++e)
#else
#define EACH(e, count) for (int e = threadIdx.x; e < (count); e += blockDim.x)
#endif

#if LOSS == 2
typedef long long Label; // a class
#else
typedef float Label;
#endif

// Parameters in shared memory: of each layer W, turned, `[inputs, outputs]` with rows of an odd length, so that neither walking along
// outputs nor along inputs meets one bank again and again; and b.
__device__ constexpr int pad(int l) { return outputs(l) | 1; }
__device__ constexpr int matrix(int l) {
  return l == 0 ? 0 : matrix(l - 1) + inputs(l - 1) * pad(l - 1) + outputs(l - 1);
}
__device__ constexpr int vector(int l) { return matrix(l) + inputs(l) * pad(l); }
__device__ constexpr int column(int l) { return l == 0 ? 0 : column(l - 1) + outputs(l - 1); }
constexpr int SIZE = vector(LAYERS - 1) + outputs(LAYERS - 1);
constexpr int WIDTH = column(LAYERS - 1) + outputs(LAYERS - 1);
constexpr int PARAMETERS = count(LAYERS);
constexpr int OUTPUTS = outputs(LAYERS - 1);

// What comes out of all layers for N rows: of layer l `[N, outputs(l)]` from N column(l) on.
template <int N> constexpr int TRACE = N * WIDTH;

template <int l> __device__ float slope(float value) { return value > 0 ? 1.0f : float(leak(l)); }

// What goes into layer l.
template <int l, int N> __device__ const float* input(const float* x, const float* a) {
  if constexpr (l == 0) return x;
  else return a + N * column(l - 1);
}

template <int l, int N> __device__ void forward(const float* phi, const float* x, float* a) {
  constexpr int I = inputs(l), O = outputs(l);
  const float* in = input<l, N>(x, a);
  EACH(e, N * O) {
    const int r = e / O, o = e % O;
    float sum = phi[vector(l) + o];
    for (int i = 0; i < I; ++i) sum += in[r * I + i] * phi[matrix(l) + i * pad(l) + o];
    a[N * column(l) + e] = sum < 0 ? sum * float(leak(l)) : sum;
  }
  __syncthreads();
  if constexpr (l + 1 < LAYERS) forward<l + 1, N>(phi, x, a);
}

// Labels that are there, as one over their number.
template <int N> __device__ float share(const Label* y) {
  int there = 0;
#if LOSS == 2
  for (int r = 0; r < N; ++r) there += y[r] != -100;
#else
  for (int e = 0; e < N * OUTPUTS; ++e) there += y[e] == y[e];
#endif
  return 1.0f / (there > 1 ? there : 1);
}

// Whether prediction e of row r has a label, and which number it is compared with.
__device__ bool labelled(const Label* y, int r, int o, float* label) {
#if LOSS == 2
  *label = y[r] == o ? 1.0f : 0.0f;
  return y[r] != -100;
#else
  const float value = y[r * OUTPUTS + o];
  *label = value;
  return value == value;
#endif
}

// What is taken from the predictions of a row to be compared with labels: these, probabilities, or shares.
template <class Take> __device__ void means(const float* row, Take take) {
#if LOSS == 2
  float most = row[0], sum = 0;
  for (int o = 1; o < OUTPUTS; ++o) most = row[o] > most ? row[o] : most;
  for (int o = 0; o < OUTPUTS; ++o) sum += expf(row[o] - most);
  for (int o = 0; o < OUTPUTS; ++o) take(o, expf(row[o] - most) / sum, most + logf(sum));
#else
  for (int o = 0; o < OUTPUTS; ++o) take(o, LOSS == 0 ? row[o] : 1 / (1 + expf(-row[o])), 0.0f);
#endif
}

// δ of the last layer, and the loss of each row where `losses` is there.
template <int N> __device__ void residuals(const float* a, const Label* y, float weight, float* d, float* losses) {
  const float* predictions = a + N * column(LAYERS - 1);
  EACH(r, N) {
    const float* row = predictions + r * OUTPUTS;
    float loss = 0;
    means(row, [&](int o, float mean, float normaliser) {
      float label;
      const bool there = labelled(y, r, o, &label);
      const float gap = there ? (mean - label) * weight * (LOSS == 0 ? 2 : 1) : 0;
      d[N * column(LAYERS - 1) + r * OUTPUTS + o] = gap * slope<LAYERS - 1>(row[o]);
      if (!there) return;
      if (LOSS == 0) loss += (mean - label) * (mean - label);
      if (LOSS == 1) loss += (row[o] > 0 ? row[o] : 0) - row[o] * label + log1pf(expf(row[o] > 0 ? -row[o] : row[o]));
      if (LOSS == 2) loss += label * (normaliser - row[o]);
    });
    if (losses) losses[r] = loss * weight;
  }
  __syncthreads();
}

// δ of the layers before layer l.
template <int l, int N> __device__ void backward(const float* phi, const float* a, float* d) {
  if constexpr (l > 0) {
    constexpr int I = inputs(l), O = outputs(l);
    const float* own = d + N * column(l);
    EACH(e, N * I) {
      const int r = e / I, i = e % I;
      float sum = 0;
      for (int o = 0; o < O; ++o) sum += own[r * O + o] * phi[matrix(l) + i * pad(l) + o];
      d[N * column(l - 1) + e] = sum * slope<l - 1>(a[N * column(l - 1) + e]);
    }
    __syncthreads();
    backward<l - 1, N>(phi, a, d);
  }
}

// to = from − rate ∇L of what moves; without `from`, to = ∇L of all.
template <int l, int N>
__device__ void step(const float* from, float* to, const float* x, const float* a, const float* d) {
  constexpr int I = inputs(l), O = outputs(l);
  const float *in = input<l, N>(x, a), *own = d + N * column(l);
  EACH(e, I * O) {
    const int i = e / O, o = e % O, place = matrix(l) + i * pad(l) + o;
    float sum = 0;
    if (!from || weight_moves(l))
      for (int r = 0; r < N; ++r) sum += own[r * O + o] * in[r * I + i];
    to[place] = from ? from[place] - float(RATE) * sum : sum;
  }
  EACH(o, O) {
    float sum = 0;
    if (!from || bias_moves(l))
      for (int r = 0; r < N; ++r) sum += own[r * O + o];
    to[vector(l) + o] = from ? from[vector(l) + o] - float(RATE) * sum : sum;
  }
  if constexpr (l + 1 < LAYERS) step<l + 1, N>(from, to, x, a, d);
  else __syncthreads();
}

// R{a} along v.
template <int l, int N>
__device__ void tangent(const float* phi, const float* v, const float* x, const float* a, float* t) {
  constexpr int I = inputs(l), O = outputs(l);
  const float* in = input<l, N>(x, a);
  EACH(e, N * O) {
    const int r = e / O, o = e % O;
    float sum = bias_moves(l) ? v[vector(l) + o] : 0;
    for (int i = 0; i < I; ++i) {
      const int place = matrix(l) + i * pad(l) + o;
      if (weight_moves(l)) sum += in[r * I + i] * v[place];
      if constexpr (l > 0) sum += t[N * column(l > 0 ? l - 1 : 0) + r * I + i] * phi[place];
    }
    t[N * column(l) + e] = sum * slope<l>(a[N * column(l) + e]);
  }
  __syncthreads();
  if constexpr (l + 1 < LAYERS) tangent<l + 1, N>(phi, v, x, a, t);
}

// R{δ} of the last layer.
template <int N> __device__ void curvature(const float* a, const float* t, const Label* y, float weight, float* u) {
  constexpr int last = N * column(LAYERS - 1);
  EACH(r, N) {
    const float *row = a + last + r * OUTPUTS, *along = t + last + r * OUTPUTS;
    float label, common = 0;
    if (LOSS == 2) means(row, [&](int o, float mean, float) { common += mean * along[o]; });
    means(row, [&](int o, float mean, float) {
      const float bend = LOSS == 0 ? 2 * along[o] : LOSS == 1 ? (mean - mean * mean) * along[o] : mean * (along[o] - common);
      const float change = labelled(y, r, o, &label) ? bend * weight : 0;
      u[last + r * OUTPUTS + o] = change * slope<LAYERS - 1>(row[o]);
    });
  }
  __syncthreads();
}

// v ← v − rate H v, from layer l on downwards, from R{a} in t and R{δ} of layer l in u.
template <int l, int N>
__device__ void reverse(const float* phi, float* v, const float* x, const float* a, const float* d, const float* t, float* u) {
  constexpr int I = inputs(l), O = outputs(l);
  const float *in = input<l, N>(x, a), *own = u + N * column(l), *delta = d + N * column(l);
  if constexpr (l > 0) {
    EACH(e, N * I) {
      const int r = e / I, i = e % I;
      float sum = 0;
      for (int o = 0; o < O; ++o) {
        const int place = matrix(l) + i * pad(l) + o;
        sum += own[r * O + o] * phi[place];
        if (weight_moves(l)) sum += delta[r * O + o] * v[place];
      }
      u[N * column(l - 1) + e] = sum * slope<l - 1>(a[N * column(l - 1) + e]);
    }
    __syncthreads();
  }
  EACH(e, I * O) {
    const int i = e / O, o = e % O;
    float sum = 0;
    for (int r = 0; r < N; ++r) {
      sum += own[r * O + o] * in[r * I + i];
      if constexpr (l > 0) sum += delta[r * O + o] * t[N * column(l > 0 ? l - 1 : 0) + r * I + i];
    }
    v[matrix(l) + i * pad(l) + o] -= float(RATE) * sum;
  }
  EACH(o, O) {
    float sum = 0;
    for (int r = 0; r < N; ++r) sum += own[r * O + o];
    v[vector(l) + o] -= float(RATE) * sum;
  }
  if constexpr (l > 0) reverse<l - 1, N>(phi, v, x, a, d, t, u);
  else __syncthreads();
}

// Between the vector of parameters and shared memory: out[place] = in[place].
template <int l, bool load> __device__ void copy(const float* in, float* out) {
  constexpr int I = inputs(l), O = outputs(l);
  EACH(e, I * O) {
    const int here = matrix(l) + (e % I) * pad(l) + e / I, there = weight_at(l) + e;
    out[load ? here : there] = in[load ? there : here];
  }
  EACH(o, O) {
    const int here = vector(l) + o, there = bias_at(l) + o;
    out[load ? here : there] = in[load ? there : here];
  }
  if constexpr (l + 1 < LAYERS) copy<l + 1, load>(in, out);
  else __syncthreads();
}

constexpr int KEPT = SECOND_ORDER ? STEPS : 1;

// Shared memory: φ of each step and after the last; v; a and δ of each step, and of the queries; R{a} and R{δ}; losses of rows.
__device__ void descent(float* memory, const float* theta, const float* x, const Label* y, const float* query, const Label* query_y,
                        float* row, double* loss) {
  float* const phi = memory;
  float* const v = phi + (SECOND_ORDER ? STEPS + 1 : 1) * SIZE;
  float* const traces = v + SIZE;
  float* const of_query = traces + 2 * KEPT * TRACE<SUPPORT>;
  float* const t = of_query + 2 * TRACE<QUERY>;
  float* const losses = t + (SECOND_ORDER ? 2 * TRACE<SUPPORT> : 0);

  copy<0, true>(theta, phi);
  const float weight = share<SUPPORT>(y);
  for (int k = 0; k < STEPS; ++k) {
    const int kept = SECOND_ORDER ? k : 0;
    float *here = phi + kept * SIZE, *a = traces + 2 * kept * TRACE<SUPPORT>, *d = a + TRACE<SUPPORT>;
    forward<0, SUPPORT>(here, x, a);
    residuals<SUPPORT>(a, y, weight, d, nullptr);
    backward<LAYERS - 1, SUPPORT>(here, a, d);
    step<0, SUPPORT>(here, SECOND_ORDER ? here + SIZE : here, x, a, d);
  }
  const float* adapted = phi + (SECOND_ORDER ? STEPS : 0) * SIZE;
  float* const d_query = of_query + TRACE<QUERY>;
  forward<0, QUERY>(adapted, query, of_query);
  residuals<QUERY>(of_query, query_y, share<QUERY>(query_y), d_query, losses);
  backward<LAYERS - 1, QUERY>(adapted, of_query, d_query);
  step<0, QUERY>(nullptr, v, query, of_query, d_query);
#if SECOND_ORDER
  for (int k = STEPS - 1; k >= 0; --k) {
    const float *here = phi + k * SIZE, *a = traces + 2 * k * TRACE<SUPPORT>, *d = a + TRACE<SUPPORT>;
    float* const u = t + TRACE<SUPPORT>;
    tangent<0, SUPPORT>(here, v, x, a, t);
    curvature<SUPPORT>(a, t, y, weight, u);
    reverse<LAYERS - 1, SUPPORT>(here, v, x, a, d, t, u);
  }
#endif
  copy<0, false>(v, row);
  EACH(one, 1) {
    double sum = 0;
    for (int r = 0; r < QUERY; ++r) sum += losses[r];
    *loss = sum;
  }
}

#ifdef EMULATED
extern "C" int floats() {
  return (SECOND_ORDER ? STEPS + 2 : 2) * SIZE + 2 * KEPT * TRACE<SUPPORT> + 2 * TRACE<QUERY> +
      (SECOND_ORDER ? 2 * TRACE<SUPPORT> : 0) + QUERY;
}
extern "C" void perceptron_descent(int tasks, float* memory, const float* theta, const float* x, const Label* y, const float* query,
                                   const Label* query_y, float* rows, double* losses) {
  for (int task = 0; task < tasks; ++task) {
#else
extern "C" __global__ void perceptron_descent(const float* theta, const float* x, const Label* y, const float* query,
                                              const Label* query_y, float* rows, double* losses) {
  extern __shared__ float memory[];
  {
    const int task = blockIdx.x;
#endif
    constexpr int labels = LOSS == 2 ? 1 : OUTPUTS;
    descent(memory, theta, x + task * SUPPORT * inputs(0), y + task * SUPPORT * labels, query + task * QUERY * inputs(0),
            query_y + task * QUERY * labels, rows + task * PARAMETERS, losses + task);
  }
}
