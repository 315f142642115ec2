"""The source of the kernels of `ragged_attention`, for CUDA and for Metal."""

from __future__ import annotations

from typing import Final

HEADERS: Final = {
    "cuda": """
#define DEVICE
#define SHARED __shared__
#define LANE (int(threadIdx.x) & 31)
#define WARP (int(threadIdx.x) >> 5)
#define THREAD int(threadIdx.x)
#define GROUP blockIdx
#define SYNCHRONIZE __syncthreads()
#define EXP __expf
#define MAX fmaxf
__device__ inline float sum_of_lanes(float x) {
  for (int step = 16; step > 0; step >>= 1) x += __shfl_xor_sync(0xffffffffu, x, step);
  return x;
}
""",
    "metal": """
#define DEVICE device
#define SHARED threadgroup
#define LANE int(thread_index_in_simdgroup)
#define WARP int(simdgroup_index_in_threadgroup)
#define THREAD int(thread_position_in_threadgroup.x)
#define GROUP threadgroup_position_in_grid
#define SYNCHRONIZE threadgroup_barrier(mem_flags::mem_threadgroup)
#define EXP fast::exp
#define MAX max
inline float sum_of_lanes(float x) { return simd_sum(x); }
""",
}

ATTEND: Final = """
  constexpr int PER_LANE = SIZE / 32, VALUES_PER_LANE = VALUE_SIZE / 32, UNROLLED = 4;
  const int lane = LANE, warp = WARP, head = GROUP.x, row = GROUP.y, split = GROUP.z;
  const int num_splits = info[0], num_rows = info[1], num_newest = info[2];
  const int begin = info[3 + 3 * row], held = info[4 + 3 * row], room = info[5 + 3 * row], length = held + num_newest;
  const DEVICE T* keys = keys_0;
  const DEVICE T* values = values_0;
  switch (row) {
    CASES
    default: break;
  }
  const int share = (length - begin + num_splits - 1) / num_splits;
  const int first = begin + split * share, end = first + share < length ? first + share : length;
  keys += size_t(head / SHARING) * room * SIZE + lane * PER_LANE;
  values += size_t(head / SHARING) * room * VALUE_SIZE + lane * VALUES_PER_LANE;
  const int own = row * (HEADS / SHARING) + head / SHARING;
  const DEVICE T* late_keys = newest_keys + size_t(own) * NEWEST * SIZE + lane * PER_LANE;
  const DEVICE T* late_values = newest_values + size_t(own) * NEWEST * VALUE_SIZE + lane * VALUES_PER_LANE;

  float query[PER_LANE], output[VALUES_PER_LANE];
  for (int i = 0; i < PER_LANE; i++)
    query[i] = float(scale[0]) * float(queries[(row * HEADS + head) * SIZE + lane * PER_LANE + i]);
  for (int i = 0; i < VALUES_PER_LANE; i++) output[i] = 0.0f;
  float largest = -1e30f, sum = 0.0f;

  for (int token = first + warp * UNROLLED; token < end; token += NUM_WARPS * UNROLLED) {
    float scores[UNROLLED];
    for (int u = 0; u < UNROLLED; u++) {
      const int at = token + u < end ? token + u : end - 1;
      const DEVICE T* key = at < held ? keys + size_t(at) * SIZE : late_keys + size_t(at - held) * SIZE;
      scores[u] = 0.0f;
      for (int i = 0; i < PER_LANE; i++) scores[u] += query[i] * float(key[i]);
    }
    float larger = largest;
    for (int u = 0; u < UNROLLED; u++) {
      scores[u] = sum_of_lanes(scores[u]);
      if (token + u >= end) scores[u] = -1e30f;
      larger = MAX(larger, scores[u]);
    }
    const float factor = EXP(largest - larger);
    largest = larger;
    sum *= factor;
    for (int i = 0; i < VALUES_PER_LANE; i++) output[i] *= factor;
    for (int u = 0; u < UNROLLED; u++) {
      const int at = token + u < end ? token + u : end - 1;
      const DEVICE T* value =
          at < held ? values + size_t(at) * VALUE_SIZE : late_values + size_t(at - held) * VALUE_SIZE;
      const float weight = EXP(scores[u] - largest);
      sum += weight;
      for (int i = 0; i < VALUES_PER_LANE; i++) output[i] += weight * float(value[i]);
    }
  }

  SHARED float largests[NUM_WARPS];
  SHARED float sums[NUM_WARPS];
  SHARED float outputs[NUM_WARPS * VALUE_SIZE];
  if (lane == 0) {
    largests[warp] = largest;
    sums[warp] = sum;
  }
  for (int i = 0; i < VALUES_PER_LANE; i++) outputs[warp * VALUE_SIZE + lane * VALUES_PER_LANE + i] = output[i];
  SYNCHRONIZE;

  const bool has_sink = SINKS && DIRECT;
  const float sink = has_sink ? float(sinks[head]) : -1e30f;
  largest = sink;
  for (int w = 0; w < NUM_WARPS; w++) largest = MAX(largest, largests[w]);
  sum = has_sink ? EXP(sink - largest) : 0.0f;
  for (int w = 0; w < NUM_WARPS; w++) sum += sums[w] * EXP(largests[w] - largest);
  for (int i = THREAD; i < VALUE_SIZE; i += NUM_WARPS * 32) {
    float total = 0.0f;
    for (int w = 0; w < NUM_WARPS; w++) total += outputs[w * VALUE_SIZE + i] * EXP(largests[w] - largest);
    if (DIRECT) {
      out[(row * HEADS + head) * VALUE_SIZE + i] = OutT(total / sum);
    } else {
      out[size_t((split * num_rows + row) * HEADS + head) * (VALUE_SIZE + 2) + i] = OutT(total);
    }
  }
  if (!DIRECT && THREAD == 0) {
    const size_t at = size_t((split * num_rows + row) * HEADS + head) * (VALUE_SIZE + 2) + VALUE_SIZE;
    out[at] = OutT(largest);
    out[at + 1] = OutT(sum);
  }
"""
"""One token's attention: the result, or, if the row is split, each split's sums with the largest score and weight."""

COMBINE: Final = """
  const int head = GROUP.x, row = GROUP.y, i = THREAD, num_splits = info[0], num_rows = info[1];
  constexpr int WIDTH = VALUE_SIZE + 2;
  const float sink = SINKS ? float(sinks[head]) : -1e30f;
  float largest = sink;
  for (int s = 0; s < num_splits; s++)
    largest = MAX(largest, parts[size_t((s * num_rows + row) * HEADS + head) * WIDTH + VALUE_SIZE]);
  float total = 0.0f, sum = SINKS ? EXP(sink - largest) : 0.0f;
  for (int s = 0; s < num_splits; s++) {
    const DEVICE float* part = parts + size_t((s * num_rows + row) * HEADS + head) * WIDTH;
    const float factor = EXP(part[VALUE_SIZE] - largest);
    total += part[i] * factor;
    sum += part[VALUE_SIZE + 1] * factor;
  }
  out[(row * HEADS + head) * VALUE_SIZE + i] = T(total / sum);
"""
