/* Rotation in fp32, LANES pairs at a time; the file that includes this defines LANES and NAME(x).
 * An element is computed by the same steps wherever it stands. */
#include "kernels/lanes.h"
#include "kernels/variants.h"

ALWAYS_INLINE void turn(vf *first, vf *second, vf a, vf b, vf cosine, vf sine) {
  *first = a * cosine - b * sine;
  *second = a * sine + b * cosine;
}

/* Pairs [i, i + count) of a head, count <= LANES: through copies where they fill no vector. */
ALWAYS_INLINE void turn_pairs(float *head, size_t i, size_t count, size_t pairs, bool interleaved,
                              const float *cosines) {
  float a[LANES] = {0}, b[LANES] = {0}, c[LANES] = {0}, s[LANES] = {0};
  for (size_t n = 0; n < count; n++) {
    a[n] = head[interleaved ? 2 * (i + n) : i + n];
    b[n] = head[interleaved ? 2 * (i + n) + 1 : i + n + pairs];
    c[n] = cosines[i + n];
    s[n] = cosines[pairs + i + n];
  }
  vf first, second;
  turn(&first, &second, load_f32(a), load_f32(b), load_f32(c), load_f32(s));
  for (size_t n = 0; n < count; n++) {
    head[interleaved ? 2 * (i + n) : i + n] = first[n];
    head[interleaved ? 2 * (i + n) + 1 : i + n + pairs] = second[n];
  }
}

ALWAYS_INLINE void turn_head(float *head, size_t pairs, bool interleaved, const float *cosines) {
  size_t i = 0;
  for (; i + LANES <= pairs; i += LANES) {
    if (interleaved) {
      turn_pairs(head, i, LANES, pairs, true, cosines);
      continue;
    }
    vf first, second;
    turn(&first, &second, load_f32(head + i), load_f32(head + pairs + i), load_f32(cosines + i),
         load_f32(cosines + pairs + i));
    store_f32(head + i, first);
    store_f32(head + pairs + i, second);
  }
  if (i < pairs) turn_pairs(head, i, pairs - i, pairs, interleaved, cosines);
}

void NAME(zh_rope)(float *x, size_t x_stride, size_t heads, size_t head_dim, size_t rope_dims,
                   bool interleaved, const float *angles, size_t begin, size_t end) {
  size_t pairs = rope_dims / 2;
  for (size_t t = begin; t < end; t++)
    for (size_t h = 0; h < heads; h++) {
      float *head = x + t * x_stride + h * head_dim;
      if (interleaved)
        turn_head(head, pairs, true, angles + t * 2 * pairs);
      else
        turn_head(head, pairs, false, angles + t * 2 * pairs);
    }
}
