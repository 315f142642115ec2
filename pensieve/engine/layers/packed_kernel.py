"""The source of the CUDA kernel of `packed_product`.

A group of threads computes 32 outputs of all tokens; its warps share the inputs among them. The matrix units take
inputs in any order, as long as both factors have the same: so a lane takes the eight codes of a word as they lie, in
the pairs in which two of them become numbers in one instruction.
"""

from __future__ import annotations

from typing import Final

HEADER: Final = """
template <bool BF16>
__device__ inline unsigned int two_weights(unsigned int codes, unsigned int scales, unsigned int biases) {
  unsigned int w = codes & 0x000f000fu;
  if constexpr (BF16) {
    w |= 0x43004300u;  // 128 + code
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(w) : "r"(w), "r"(0x3f803f80u), "r"(0xc300c300u));
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(w) : "r"(w), "r"(scales), "r"(biases));
  } else {
    w |= 0x64006400u;  // 1024 + code
    asm("sub.f16x2 %0, %1, %2;" : "=r"(w) : "r"(w), "r"(0x64006400u));
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(w) : "r"(w), "r"(scales), "r"(biases));
  }
  return w;
}

template <bool BF16>
__device__ inline void add_product(float* sums, const unsigned int* a, unsigned int b0, unsigned int b1) {
  if constexpr (BF16) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
}

__device__ inline unsigned int twice(const void* numbers, size_t index) {
  const unsigned int bits = reinterpret_cast<const unsigned short*>(numbers)[index];
  return bits | (bits << 16);
}
"""

SOURCE: Final = """
  constexpr int WARPS = 8, TOKENS = 8, OUTPUTS = 32, INPUTS = 128;
  const int num_tokens = sizes[0], num_outputs = sizes[1], num_inputs = sizes[2];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, line = lane >> 2, part = lane & 3;
  const int first = blockIdx.x * OUTPUTS;
  const uint4 zeros = make_uint4(0, 0, 0, 0);

  float sums[4][4];
  for (int n = 0; n < 4; n++)
    for (int i = 0; i < 4; i++) sums[n][i] = 0.0f;

  for (int begin = warp * INPUTS; begin < num_inputs; begin += WARPS * INPUTS) {
    const int at = begin + part * 32;
    const bool is_inside = at < num_inputs;
    uint4 codes[4];
    unsigned int scale[4], bias[4];
    for (int n = 0; n < 4; n++) {
      const int output = min(first + n * 8 + line, num_outputs - 1);
      const size_t group = size_t(output) * (num_inputs / GROUP) + at / GROUP;
      codes[n] = is_inside ? *reinterpret_cast<const uint4*>(weights + (size_t(output) * num_inputs + at) / 8) : zeros;
      scale[n] = is_inside ? twice(scales, group) : 0u;
      bias[n] = is_inside ? twice(biases, group) : 0u;
    }
    #pragma unroll
    for (int word = 0; word < 4; word++) {
      const uint4 x = is_inside && line < num_tokens
          ? *reinterpret_cast<const uint4*>(values + size_t(line) * num_inputs + at + word * 8) : zeros;
      // The matrix unit takes sixteen tokens; the last eight are zeros.
      const unsigned int a0[4] = {__byte_perm(x.x, x.z, 0x5410), 0u, __byte_perm(x.x, x.z, 0x7632), 0u};
      const unsigned int a1[4] = {__byte_perm(x.y, x.w, 0x5410), 0u, __byte_perm(x.y, x.w, 0x7632), 0u};
      for (int n = 0; n < 4; n++) {
        const unsigned int c = word == 0 ? codes[n].x : word == 1 ? codes[n].y : word == 2 ? codes[n].z : codes[n].w;
        const unsigned int b0 = two_weights<BF16>(c, scale[n], bias[n]);
        const unsigned int b1 = two_weights<BF16>(c >> 4, scale[n], bias[n]);
        const unsigned int b2 = two_weights<BF16>(c >> 8, scale[n], bias[n]);
        const unsigned int b3 = two_weights<BF16>(c >> 12, scale[n], bias[n]);
        add_product<BF16>(sums[n], a0, b0, b1);
        add_product<BF16>(sums[n], a1, b2, b3);
      }
    }
  }

  __shared__ float parts[WARPS][TOKENS][OUTPUTS];
  for (int n = 0; n < 4; n++)
    for (int i = 0; i < 2; i++) parts[warp][line][n * 8 + part * 2 + i] = sums[n][i];
  __syncthreads();
  const int token = threadIdx.x / OUTPUTS, output = threadIdx.x % OUTPUTS;
  if (token < num_tokens && first + output < num_outputs) {
    float total = 0.0f;
    for (int w = 0; w < WARPS; w++) total += parts[w][token][output];
    out[size_t(token) * num_outputs + first + output] = T(total);
  }
"""
