/* Bicubic, antialiased resize and crop of 8-bit pixels of four bytes, bit for bit what Pillow's `Image.resize` gives.
 *
 * The arithmetic is Pillow's (ImagingResample): each axis has, for every output, a window of inputs with weights of the
 * cubic convolution filter (Keys 1981, a = -1/2), stretched where the image shrinks; weights are normalised in doubles,
 * then rounded to integers with 22 fractional bits; rows and columns are two passes, rounded to 8 bits and clipped after
 * each. Which comes first differs between versions of Pillow; the caller says. Only what the crop needs is computed.
 *
 * The wider paths cut a weight into signed digits, two of 16 bits or three of 8, and take four inputs with their
 * weights at once: a sum for each digit, exact modulo 2^32, and the sum of these, shifted, fits 32 bits.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_pixels.h"

#if defined(__x86_64__) || defined(_M_X64)
#define HAVE_SSE2 1
#include <emmintrin.h>
#if defined(__GNUC__)
#define HAVE_AVX2 1
#include <immintrin.h>
#define AVX2 __attribute__((target("avx2")))
#define VNNI __attribute__((target("avx2,avx512vl,avx512vnni")))
#endif
#elif defined(__aarch64__)
#define HAVE_NEON 1
#include <arm_neon.h>
#endif

#define FRACTION_BITS 22
#define HALF (1 << (FRACTION_BITS - 1))
#define GROUP 4 /* inputs that a wide path takes at once: windows are padded to a multiple */
#define MOST_AT_ONCE 9 /* how many times narrower `Both` makes an image; beyond, one pass after the other is faster */
#define BLOCK 4 /* rows that the second pass makes as soon as the first has come to them: they are in the cache then */

/* One axis: `count` outputs from the `span` inputs after `first`. Each is the weighted sum of `taps` of these, from
 * number `start[i]` on, with zeros as padding; where `taps` is 0, it is the input itself. */
typedef struct {
    int first, span, count, taps;
    int *start;
    int32_t *weight; /* count * taps */
    uint8_t *digits; /* the same by groups, 16 bytes each: the lowest digits of four weights, then the higher ones */
} Axis;

typedef struct {
    const uint8_t *first; /* its first row */
    size_t stride;        /* bytes from row to row */
} Rows;

/* Fills `out`, of axis->count pixels a row, from `rows` rows of `in`. */
typedef void Horizontal(Rows in, int rows, const Axis *axis, uint8_t *out);
/* Fills `out`, of axis->count rows of `size` bytes, from as many bytes of rows of `in`. */
typedef void Vertical(Rows in, size_t size, const Axis *axis, uint8_t *out);

/* Does both passes, rows first, from `height` rows, with windows of `down` that begin at whole groups; 0 where memory
 * runs out. Only colors count, and the fourth byte of a pixel comes out as 0. */
typedef int Both(Rows in, int height, const Axis *across, const Axis *down, uint8_t *out);

typedef struct {
    const char *name;
    int digit_bits;
    Horizontal *horizontal;
    Vertical *vertical;
    Both *both; /* or NULL */
} Kernel;

/* ------------------------------------------------------------------ weights */

static double cubic(double x) {
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static int rounded(double weight) {
    double scaled = weight * (1 << FRACTION_BITS);
    return (int)(scaled + copysign(0.5, scaled));
}

/* Writes the digits of four weights. */
static void cut(const int32_t *weight, int digit_bits, uint8_t *digits) {
    for (int tap = 0; tap < GROUP; tap++) {
        int32_t k = weight[tap];
        if (digit_bits == 16) {
            int16_t low = (int16_t)k, high = (int16_t)((k - low) >> 16);
            memcpy(digits + 2 * tap, &low, 2);
            memcpy(digits + 2 * (GROUP + tap), &high, 2);
        } else {
            k = (k + 0x8080) ^ 0x8080; /* carries make the bytes signed: k is the sum of them, shifted */
            for (int digit = 0; digit < 3; digit++) digits[digit * GROUP + tap] = (uint8_t)(k >> 8 * digit);
        }
    }
}

static void free_axis(Axis *axis) {
    free(axis->start);
    free(axis->weight);
    free(axis->digits);
}

/* What is the same for all outputs of an axis: its filter reaches `support` inputs to both sides of a center. */
typedef struct {
    int size;
    double scale, stretch, support;
} Filter;

static int window(const Filter *filter, double center, int *low) {
    int high = (int)(center + filter->support + 0.5);
    *low = (int)(center - filter->support + 0.5);
    *low = *low < 0 ? 0 : *low;
    return (high > filter->size ? filter->size : high) - *low;
}

static void set_window(Axis *axis, int i, const Filter *filter, double center, int step, double *room) {
    double inverse = 1.0 / filter->stretch, sum = 0.0;
    int low, taps = window(filter, center, &low);
    for (int x = 0; x < taps; x++) {
        room[x] = cubic((x + low - center + 0.5) * inverse);
        sum += room[x];
    }
    int start = low / step * step;
    if (step == 1 && low + axis->taps > filter->size) start = filter->size - axis->taps; /* the padding stays inside */
    int32_t *weight = axis->weight + (size_t)i * axis->taps + (low - start);
    for (int x = 0; x < taps; x++) weight[x] = rounded(sum != 0.0 ? room[x] / sum : room[x]);
    axis->start[i] = start;
}

/* Prepares outputs `first` to `first + count` of an axis from `size` inputs to `resized`; 0 where memory runs out.
 * Windows start at multiples of `step`, 1 or GROUP; in the latter case the padding may lie behind the last input. */
static int make_axis(Axis *axis, int size, int resized, int first, int count, int digit_bits, int step) {
    Filter filter = {.size = size, .scale = (double)(float)size / resized};
    filter.stretch = filter.scale < 1.0 ? 1.0 : filter.scale;
    filter.support = 2.0 * filter.stretch;
    axis->first = first;
    axis->span = axis->count = count;
    if (size == resized) return 1;
    for (int i = 0, low; i < count; i++) {
        int taps = window(&filter, (first + i + 0.5) * filter.scale, &low);
        axis->taps = taps > axis->taps ? taps : axis->taps;
    }
    int padded = (axis->taps + step - 1 + GROUP - 1) / GROUP * GROUP;
    int is_wide = digit_bits && (padded <= size || step > 1);
    axis->taps = is_wide ? padded : axis->taps;
    size_t weights = (size_t)count * (size_t)axis->taps, groups = is_wide ? weights / GROUP : 0;
    double *room = malloc(sizeof(double) * (size_t)axis->taps);
    axis->start = malloc(sizeof(int) * (size_t)count);
    axis->weight = calloc(weights, sizeof(int32_t));
    axis->digits = groups ? calloc(groups, 16) : NULL;
    int done = room && axis->start && axis->weight && (!groups || axis->digits);
    if (done) {
        for (int i = 0; i < count; i++) set_window(axis, i, &filter, (first + i + 0.5) * filter.scale, step, room);
        axis->first = axis->start[0];
        axis->span = axis->start[count - 1] + axis->taps - axis->first;
        for (int i = 0; i < count; i++) axis->start[i] -= axis->first;
        for (size_t i = 0; i < groups; i++) cut(axis->weight + i * GROUP, digit_bits, axis->digits + i * 16);
    }
    free(room);
    return done;
}

/* ------------------------------------------------------------------ plain C */

static uint8_t clipped(int32_t sum) {
    int value = sum >> FRACTION_BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static void horizontal_plain(Rows in, int rows, const Axis *axis, uint8_t *out) {
    for (int y = 0; y < rows; y++) {
        const uint8_t *row = in.first + (size_t)y * in.stride;
        for (int i = 0; i < axis->count; i++, out += PIXEL) {
            const uint8_t *pixel = row + (size_t)axis->start[i] * PIXEL;
            const int32_t *weight = axis->weight + (size_t)i * axis->taps;
            int32_t sum[PIXEL] = {HALF, HALF, HALF, HALF};
            for (int tap = 0; tap < axis->taps; tap++, pixel += PIXEL)
                for (int c = 0; c < PIXEL; c++) sum[c] += pixel[c] * weight[tap];
            for (int c = 0; c < PIXEL; c++) out[c] = clipped(sum[c]);
        }
    }
}

#define STRIP 256

static void vertical_plain(Rows in, size_t size, const Axis *axis, uint8_t *out) {
    for (int i = 0; i < axis->count; i++, out += size) {
        const uint8_t *top = in.first + (size_t)axis->start[i] * in.stride;
        const int32_t *weight = axis->weight + (size_t)i * axis->taps;
        for (size_t x = 0; x < size; x += STRIP) {
            size_t n = size - x < STRIP ? size - x : STRIP;
            int32_t sum[STRIP];
            for (size_t j = 0; j < n; j++) sum[j] = HALF;
            for (int tap = 0; tap < axis->taps; tap++) {
                const uint8_t *row = top + (size_t)tap * in.stride + x;
                for (size_t j = 0; j < n; j++) sum[j] += row[j] * weight[tap];
            }
            for (size_t j = 0; j < n; j++) out[x + j] = clipped(sum[j]);
        }
    }
}

/* ------------------------------------------------------------------ SSE2: every x86-64 */

#ifdef HAVE_SSE2

static __m128i whole_128(__m128i low, __m128i high) {
    __m128i sum = _mm_add_epi32(low, _mm_slli_epi32(high, 16));
    return _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(HALF)), FRACTION_BITS);
}

static void horizontal_sse2(Rows in, int rows, const Axis *axis, uint8_t *out) {
    const __m128i zero = _mm_setzero_si128();
    for (int y = 0; y < rows; y++) {
        const uint8_t *row = in.first + (size_t)y * in.stride;
        const __m128i *digits = (const __m128i *)axis->digits;
        for (int i = 0; i < axis->count; i++, out += PIXEL) {
            const uint8_t *pixel = row + (size_t)axis->start[i] * PIXEL;
            __m128i low = zero, high = zero;
            for (int tap = 0; tap < axis->taps; tap += 4, pixel += 16) {
                __m128i four = _mm_loadu_si128((const __m128i *)pixel), next = _mm_srli_si128(four, PIXEL);
                __m128i a = _mm_unpacklo_epi8(_mm_unpacklo_epi8(four, next), zero); /* pixels 0 and 1 by channel */
                __m128i b = _mm_unpacklo_epi8(_mm_unpackhi_epi8(four, next), zero); /* 2 and 3 */
                __m128i k = _mm_loadu_si128(digits++);
                low = _mm_add_epi32(low, _mm_madd_epi16(a, _mm_shuffle_epi32(k, 0x00)));
                low = _mm_add_epi32(low, _mm_madd_epi16(b, _mm_shuffle_epi32(k, 0x55)));
                high = _mm_add_epi32(high, _mm_madd_epi16(a, _mm_shuffle_epi32(k, 0xAA)));
                high = _mm_add_epi32(high, _mm_madd_epi16(b, _mm_shuffle_epi32(k, 0xFF)));
            }
            __m128i words = _mm_packs_epi32(whole_128(low, high), zero);
            int bytes = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
            memcpy(out, &bytes, PIXEL);
        }
    }
}

static void vertical_sse2(Rows in, size_t size, const Axis *axis, uint8_t *out) {
    const __m128i zero = _mm_setzero_si128();
    if (size < 16) {
        vertical_plain(in, size, axis, out);
        return;
    }
    for (int i = 0; i < axis->count; i++, out += size) {
        const uint8_t *top = in.first + (size_t)axis->start[i] * in.stride;
        const uint8_t *digits = axis->digits + (size_t)i * axis->taps * 4;
        for (size_t x = 0; x < size; x += 16) {
            size_t at = x + 16 > size ? size - 16 : x; /* the last strip overlaps the one before */
            const uint8_t *cell = top + at;
            __m128i low[4] = {zero, zero, zero, zero}, high[4] = {zero, zero, zero, zero};
            for (int tap = 0; tap < axis->taps; tap += 2, cell += 2 * in.stride) {
                __m128i a = _mm_loadu_si128((const __m128i *)cell);
                __m128i b = _mm_loadu_si128((const __m128i *)(cell + in.stride));
                __m128i left = _mm_unpacklo_epi8(a, b), right = _mm_unpackhi_epi8(a, b);
                __m128i k = _mm_loadu_si128((const __m128i *)(digits + (tap & ~3) * 4));
                k = tap & 2 ? _mm_srli_epi64(k, 32) : k;
                __m128i kl = _mm_shuffle_epi32(k, 0x00), kh = _mm_shuffle_epi32(k, 0xAA);
                __m128i pair[4] = {_mm_unpacklo_epi8(left, zero), _mm_unpackhi_epi8(left, zero),
                                   _mm_unpacklo_epi8(right, zero), _mm_unpackhi_epi8(right, zero)};
                for (int j = 0; j < 4; j++) {
                    low[j] = _mm_add_epi32(low[j], _mm_madd_epi16(pair[j], kl));
                    high[j] = _mm_add_epi32(high[j], _mm_madd_epi16(pair[j], kh));
                }
            }
            __m128i first = _mm_packs_epi32(whole_128(low[0], high[0]), whole_128(low[1], high[1]));
            __m128i second = _mm_packs_epi32(whole_128(low[2], high[2]), whole_128(low[3], high[3]));
            _mm_storeu_si128((__m128i *)(out + at), _mm_packus_epi16(first, second));
        }
    }
}

#endif

/* ------------------------------------------------------------------ NEON: every arm64 */

#ifdef HAVE_NEON

static int32x4_t wide_neon(uint16x4_t values) {
    return vreinterpretq_s32_u32(vmovl_u16(values));
}

static uint16x4_t clipped_neon(int32x4_t sum) {
    return vqmovun_s32(vshrq_n_s32(sum, FRACTION_BITS));
}

static void horizontal_neon(Rows in, int rows, const Axis *axis, uint8_t *out) {
    for (int y = 0; y < rows; y++) {
        const uint8_t *row = in.first + (size_t)y * in.stride;
        const int32_t *weight = axis->weight;
        for (int i = 0; i < axis->count; i++, out += PIXEL) {
            const uint8_t *pixel = row + (size_t)axis->start[i] * PIXEL;
            int32x4_t even = vdupq_n_s32(HALF), odd = vdupq_n_s32(0);
            for (int tap = 0; tap < axis->taps; tap += 4, pixel += 16, weight += 4) {
                uint8x16_t four = vld1q_u8(pixel);
                uint16x8_t a = vmovl_u8(vget_low_u8(four)), b = vmovl_u8(vget_high_u8(four));
                int32x4_t k = vld1q_s32(weight);
                even = vmlaq_laneq_s32(even, wide_neon(vget_low_u16(a)), k, 0);
                odd = vmlaq_laneq_s32(odd, wide_neon(vget_high_u16(a)), k, 1);
                even = vmlaq_laneq_s32(even, wide_neon(vget_low_u16(b)), k, 2);
                odd = vmlaq_laneq_s32(odd, wide_neon(vget_high_u16(b)), k, 3);
            }
            uint16x4_t words = clipped_neon(vaddq_s32(even, odd));
            uint32_t bytes = vget_lane_u32(vreinterpret_u32_u8(vqmovn_u16(vcombine_u16(words, words))), 0);
            memcpy(out, &bytes, PIXEL);
        }
    }
}

static void vertical_neon(Rows in, size_t size, const Axis *axis, uint8_t *out) {
    if (size < 16) {
        vertical_plain(in, size, axis, out);
        return;
    }
    for (int i = 0; i < axis->count; i++, out += size) {
        const uint8_t *top = in.first + (size_t)axis->start[i] * in.stride;
        const int32_t *weight = axis->weight + (size_t)i * axis->taps;
        for (size_t x = 0; x < size; x += 16) {
            size_t at = x + 16 > size ? size - 16 : x; /* the last strip overlaps the one before */
            const uint8_t *cell = top + at;
            int32x4_t sum[4];
            for (int j = 0; j < 4; j++) sum[j] = vdupq_n_s32(HALF);
            for (int tap = 0; tap < axis->taps; tap++, cell += in.stride) {
                uint8x16_t bytes = vld1q_u8(cell);
                uint16x8_t a = vmovl_u8(vget_low_u8(bytes)), b = vmovl_u8(vget_high_u8(bytes));
                sum[0] = vmlaq_n_s32(sum[0], wide_neon(vget_low_u16(a)), weight[tap]);
                sum[1] = vmlaq_n_s32(sum[1], wide_neon(vget_high_u16(a)), weight[tap]);
                sum[2] = vmlaq_n_s32(sum[2], wide_neon(vget_low_u16(b)), weight[tap]);
                sum[3] = vmlaq_n_s32(sum[3], wide_neon(vget_high_u16(b)), weight[tap]);
            }
            uint16x8_t first = vcombine_u16(clipped_neon(sum[0]), clipped_neon(sum[1]));
            uint16x8_t second = vcombine_u16(clipped_neon(sum[2]), clipped_neon(sum[3]));
            vst1q_u8(out + at, vcombine_u8(vqmovn_u16(first), vqmovn_u16(second)));
        }
    }
}

#endif

/* ------------------------------------------------------------------ AVX2, where the processor has it */

#ifdef HAVE_AVX2

AVX2 static __m256i whole_256(__m256i low, __m256i high) {
    return _mm256_add_epi32(low, _mm256_slli_epi32(high, 16));
}

AVX2 static __m256i rounded_256(__m256i sum) {
    return _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(HALF)), FRACTION_BITS);
}

/* Stores four outputs of two rows, a lane each. */
AVX2 static inline void store_two(__m256i a, __m256i b, __m256i c, __m256i d, uint8_t *first, uint8_t *second) {
    __m256i bytes = _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    _mm_storeu_si128((__m128i *)first, _mm256_castsi256_si128(bytes));
    _mm_storeu_si128((__m128i *)second, _mm256_extracti128_si256(bytes, 1));
}

/* The sums of two rows, a lane each, from those of two lanes each. */
AVX2 static __m256i of_lanes(__m256i first, __m256i second) {
    return _mm256_add_epi32(_mm256_permute2x128_si256(first, second, 0x20),
                            _mm256_permute2x128_si256(first, second, 0x31));
}

AVX2 static __m256i packed_256(const __m256i sum[4]) {
    __m256i r[4];
    for (int j = 0; j < 4; j++) r[j] = rounded_256(sum[j]);
    return _mm256_packus_epi16(_mm256_packs_epi32(r[0], r[1]), _mm256_packs_epi32(r[2], r[3]));
}

/* Makes output `i` of four rows, two to a vector: of each row, one lane takes pixels 0 and 1, the other 2 and 3. */
AVX2 static inline void output_avx2(const uint8_t *const row[4], const Axis *axis, int i, __m256i output[2]) {
    const __m256i by_channel = _mm256_setr_epi8(0, -1, 4, -1, 1, -1, 5, -1, 2, -1, 6, -1, 3, -1, 7, -1,
                                                8, -1, 12, -1, 9, -1, 13, -1, 10, -1, 14, -1, 11, -1, 15, -1);
    const __m256i lows = _mm256_setr_epi8(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3,
                                          4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7);
    const __m256i highs = _mm256_or_si256(lows, _mm256_set1_epi8(8));
    const __m128i *digits = (const __m128i *)axis->digits + (size_t)i * axis->taps / GROUP;
    size_t at = (size_t)axis->start[i] * PIXEL;
    __m256i low[4], high[4];
    for (int j = 0; j < 4; j++) low[j] = high[j] = _mm256_setzero_si256();
    for (int tap = 0; tap < axis->taps; tap += 4, at += 16) {
        __m256i k = _mm256_broadcastsi128_si256(_mm_loadu_si128(digits++));
        __m256i kl = _mm256_shuffle_epi8(k, lows), kh = _mm256_shuffle_epi8(k, highs);
        for (int j = 0; j < 4; j++) {
            __m256i four = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(row[j] + at)));
            four = _mm256_shuffle_epi8(four, by_channel);
            low[j] = _mm256_add_epi32(low[j], _mm256_madd_epi16(four, kl));
            high[j] = _mm256_add_epi32(high[j], _mm256_madd_epi16(four, kh));
        }
    }
    for (int j = 0; j < 4; j++) low[j] = whole_256(low[j], high[j]);
    output[0] = rounded_256(of_lanes(low[0], low[1]));
    output[1] = rounded_256(of_lanes(low[2], low[3]));
}

AVX2 static void four_rows_avx2(const uint8_t *const row[4], const Axis *axis, uint8_t *const out[4]) {
    for (int i = 0; i < axis->count; i += 4) {
        int first = i + 4 > axis->count ? axis->count - 4 : i; /* the last four overlap the ones before */
        size_t at = (size_t)first * PIXEL;
        __m256i a[2], b[2], c[2], d[2];
        output_avx2(row, axis, first, a);
        output_avx2(row, axis, first + 1, b);
        output_avx2(row, axis, first + 2, c);
        output_avx2(row, axis, first + 3, d);
        for (int j = 0; j < 2; j++) store_two(a[j], b[j], c[j], d[j], out[2 * j] + at, out[2 * j + 1] + at);
    }
}

typedef void FourRows(const uint8_t *const row[4], const Axis *axis, uint8_t *const out[4]);

static void by_four_rows(FourRows *four, Rows in, int rows, const Axis *axis, uint8_t *out) {
    for (int y = 0; y < rows; y += 4) {
        const uint8_t *row[4];
        uint8_t *target[4];
        for (int j = 0; j < 4; j++) {
            size_t number = (size_t)(y + j < rows ? y + j : rows - 1); /* the last row again, where fewer are left */
            row[j] = in.first + number * in.stride;
            target[j] = out + number * (size_t)axis->count * PIXEL;
        }
        four(row, axis, target);
    }
}

static void horizontal_avx2(Rows in, int rows, const Axis *axis, uint8_t *out) {
    if (axis->count < 4)
        horizontal_plain(in, rows, axis, out);
    else
        by_four_rows(four_rows_avx2, in, rows, axis, out);
}

AVX2 static void vertical_avx2(Rows in, size_t size, const Axis *axis, uint8_t *out) {
    const __m256i zero = _mm256_setzero_si256();
    if (size < 32) {
        vertical_plain(in, size, axis, out);
        return;
    }
    for (int i = 0; i < axis->count; i++, out += size) {
        const uint8_t *top = in.first + (size_t)axis->start[i] * in.stride;
        const uint8_t *digits = axis->digits + (size_t)i * axis->taps * 4;
        for (size_t x = 0; x < size; x += 32) {
            size_t at = x + 32 > size ? size - 32 : x;
            const uint8_t *cell = top + at;
            __m256i low[4] = {zero, zero, zero, zero}, high[4] = {zero, zero, zero, zero};
            for (int tap = 0; tap < axis->taps; tap += 2, cell += 2 * in.stride) {
                __m256i a = _mm256_loadu_si256((const __m256i *)cell);
                __m256i b = _mm256_loadu_si256((const __m256i *)(cell + in.stride));
                __m256i left = _mm256_unpacklo_epi8(a, b), right = _mm256_unpackhi_epi8(a, b);
                __m128i k = _mm_loadu_si128((const __m128i *)(digits + (tap & ~3) * 4));
                k = tap & 2 ? _mm_srli_epi64(k, 32) : k;
                __m256i kl = _mm256_broadcastd_epi32(k), kh = _mm256_broadcastd_epi32(_mm_srli_si128(k, 8));
                __m256i pair[4] = {_mm256_unpacklo_epi8(left, zero), _mm256_unpackhi_epi8(left, zero),
                                   _mm256_unpacklo_epi8(right, zero), _mm256_unpackhi_epi8(right, zero)};
                for (int j = 0; j < 4; j++) {
                    low[j] = _mm256_add_epi32(low[j], _mm256_madd_epi16(pair[j], kl));
                    high[j] = _mm256_add_epi32(high[j], _mm256_madd_epi16(pair[j], kh));
                }
            }
            for (int j = 0; j < 4; j++) low[j] = whole_256(low[j], high[j]);
            _mm256_storeu_si256((__m256i *)(out + at), packed_256(low));
        }
    }
}

/* ------------------------------------------------------------------ VNNI: four products of bytes added at once */

VNNI static __m256i whole_of_three(const __m256i sum[3]) {
    return _mm256_add_epi32(sum[0], _mm256_add_epi32(_mm256_slli_epi32(sum[1], 8), _mm256_slli_epi32(sum[2], 16)));
}

VNNI static __m256i digits_of_four(const uint8_t *digits) {
    int32_t four;
    memcpy(&four, digits, GROUP);
    return _mm256_set1_epi32(four);
}

/* Makes output `i` of four rows, two to a vector: a lane takes four pixels of its row. */
VNNI static inline void output_vnni(const uint8_t *const row[4], const Axis *axis, int i, __m256i output[2]) {
    const __m256i by_channel = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const uint8_t *digits = axis->digits + (size_t)i * axis->taps * 4;
    size_t at = (size_t)axis->start[i] * PIXEL;
    __m256i sum[2][3];
    for (int j = 0; j < 2; j++) {
        sum[j][0] = _mm256_set1_epi32(HALF);
        sum[j][1] = sum[j][2] = _mm256_setzero_si256();
    }
    for (int tap = 0; tap < axis->taps; tap += GROUP, at += GROUP * PIXEL, digits += 16) {
        for (int j = 0; j < 2; j++) {
            __m128i low = _mm_loadu_si128((const __m128i *)(row[2 * j] + at));
            __m128i high = _mm_loadu_si128((const __m128i *)(row[2 * j + 1] + at));
            __m256i pixels = _mm256_shuffle_epi8(_mm256_set_m128i(high, low), by_channel);
            for (int k = 0; k < 3; k++)
                sum[j][k] = _mm256_dpbusd_epi32(sum[j][k], pixels, digits_of_four(digits + k * GROUP));
        }
    }
    for (int j = 0; j < 2; j++) output[j] = _mm256_srai_epi32(whole_of_three(sum[j]), FRACTION_BITS);
}

VNNI static void four_rows_vnni(const uint8_t *const row[4], const Axis *axis, uint8_t *const out[4]) {
    for (int i = 0; i < axis->count; i += 4) {
        int first = i + 4 > axis->count ? axis->count - 4 : i; /* the last four overlap the ones before */
        size_t at = (size_t)first * PIXEL;
        __m256i a[2], b[2], c[2], d[2];
        output_vnni(row, axis, first, a);
        output_vnni(row, axis, first + 1, b);
        output_vnni(row, axis, first + 2, c);
        output_vnni(row, axis, first + 3, d);
        for (int j = 0; j < 2; j++) store_two(a[j], b[j], c[j], d[j], out[2 * j] + at, out[2 * j + 1] + at);
    }
}

static void horizontal_vnni(Rows in, int rows, const Axis *axis, uint8_t *out) {
    if (axis->count < 4)
        horizontal_plain(in, rows, axis, out);
    else
        by_four_rows(four_rows_vnni, in, rows, axis, out);
}

VNNI static void vertical_vnni(Rows in, size_t size, const Axis *axis, uint8_t *out) {
    if (size < 32) {
        vertical_plain(in, size, axis, out);
        return;
    }
    for (int i = 0; i < axis->count; i++, out += size) {
        const uint8_t *top = in.first + (size_t)axis->start[i] * in.stride;
        for (size_t x = 0; x < size; x += 32) {
            size_t at = x + 32 > size ? size - 32 : x;
            const uint8_t *cell = top + at;
            const __m128i *digits = (const __m128i *)axis->digits + (size_t)i * axis->taps / GROUP;
            __m256i sum[4][3], total[4];
            for (int j = 0; j < 4; j++) sum[j][0] = sum[j][1] = sum[j][2] = _mm256_setzero_si256();
            for (int tap = 0; tap < axis->taps; tap += 4, cell += 4 * in.stride) {
                __m256i a = _mm256_loadu_si256((const __m256i *)cell);
                __m256i b = _mm256_loadu_si256((const __m256i *)(cell + in.stride));
                __m256i c = _mm256_loadu_si256((const __m256i *)(cell + 2 * in.stride));
                __m256i d = _mm256_loadu_si256((const __m256i *)(cell + 3 * in.stride));
                __m256i left_ab = _mm256_unpacklo_epi8(a, b), right_ab = _mm256_unpackhi_epi8(a, b);
                __m256i left_cd = _mm256_unpacklo_epi8(c, d), right_cd = _mm256_unpackhi_epi8(c, d);
                __m256i four[4] = {
                    _mm256_unpacklo_epi16(left_ab, left_cd), _mm256_unpackhi_epi16(left_ab, left_cd),
                    _mm256_unpacklo_epi16(right_ab, right_cd), _mm256_unpackhi_epi16(right_ab, right_cd)};
                __m256i k = _mm256_broadcastsi128_si256(_mm_loadu_si128(digits++));
                __m256i k0 = _mm256_shuffle_epi32(k, 0x00), k1 = _mm256_shuffle_epi32(k, 0x55);
                __m256i k2 = _mm256_shuffle_epi32(k, 0xAA);
                for (int j = 0; j < 4; j++) {
                    sum[j][0] = _mm256_dpbusd_epi32(sum[j][0], four[j], k0);
                    sum[j][1] = _mm256_dpbusd_epi32(sum[j][1], four[j], k1);
                    sum[j][2] = _mm256_dpbusd_epi32(sum[j][2], four[j], k2);
                }
            }
            for (int j = 0; j < 4; j++) total[j] = whole_of_three(sum[j]);
            _mm256_storeu_si256((__m256i *)(out + at), packed_256(total));
        }
    }
}

#include "_resize_vbmi.h"

#endif

static const Kernel kernels[] = {
#ifdef HAVE_AVX2
    {"vbmi", 8, horizontal_vnni, vertical_vnni, both_vbmi},
    {"vnni", 8, horizontal_vnni, vertical_vnni, NULL},
    {"avx2", 16, horizontal_avx2, vertical_avx2, NULL},
#endif
#ifdef HAVE_SSE2
    {"sse2", 16, horizontal_sse2, vertical_sse2, NULL},
#endif
#ifdef HAVE_NEON
    {"neon", 16, horizontal_neon, vertical_neon, NULL},
#endif
    {"plain", 0, horizontal_plain, vertical_plain, NULL},
};

static int runs_here(const Kernel *kernel) {
#ifdef HAVE_AVX2
    int avx2 = !!__builtin_cpu_supports("avx2");
    int vnni = avx2 && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
    if (kernel->horizontal == horizontal_avx2) return avx2;
    if (kernel->both) return vnni && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vbmi");
    if (kernel->horizontal == horizontal_vnni) return vnni;
#endif
    (void)kernel;
    return 1;
}

/* ------------------------------------------------------------------ the module */

typedef struct {
    int source_w, source_h, resized_w, resized_h, left, top, w, h, down_first;
} Order;

static void pass_across(const Kernel *kernel, Rows in, int rows, const Axis *axis, uint8_t *out) {
    (axis->digits ? kernel->horizontal : horizontal_plain)(in, rows, axis, out);
}

static void pass_down(const Kernel *kernel, Rows in, size_t size, const Axis *axis, uint8_t *out) {
    (axis->digits ? kernel->vertical : vertical_plain)(in, size, axis, out);
}

/* Some outputs of an axis, as an axis of their own. */
static Axis part_of(const Axis *axis, int first, int count) {
    Axis part = *axis;
    size_t weights = (size_t)first * (size_t)axis->taps;
    part.count = count < axis->count - first ? count : axis->count - first;
    part.start += first;
    part.weight += weights;
    if (part.digits) part.digits += weights * 4;
    return part;
}

/* Rows go across when the next outputs need them, four at once as the wide paths take them. */
static void across_then_down(const Kernel *kernel, Rows in, const Axis *across, const Axis *down, uint8_t *between,
                             uint8_t *out) {
    size_t size = (size_t)across->count * PIXEL;
    for (int i = 0, rows = 0; i < down->count; i += BLOCK) {
        Axis part = part_of(down, i, BLOCK);
        int end = (part.start[part.count - 1] + part.taps + 3) / 4 * 4;
        end = end < down->span ? end : down->span;
        Rows more = {in.first + (size_t)rows * in.stride, in.stride};
        pass_across(kernel, more, end - rows, across, between + (size_t)rows * size);
        rows = end;
        pass_down(kernel, (Rows){between, size}, size, &part, out + (size_t)i * size);
    }
}

static void down_then_across(const Kernel *kernel, Rows in, const Axis *across, const Axis *down, uint8_t *between,
                             uint8_t *out) {
    size_t size = (size_t)across->count * PIXEL, wide = (size_t)across->span * PIXEL;
    for (int i = 0; i < down->count; i += BLOCK) {
        Axis part = part_of(down, i, BLOCK);
        pass_down(kernel, in, wide, &part, between);
        pass_across(kernel, (Rows){between, wide}, part.count, across, out + (size_t)i * size);
    }
}

/* Two passes where both sizes change, some outputs at a time, one where one does, as Pillow has it; 0 where memory runs
 * out. */
static int passes(Rows in, const Axis *across, const Axis *down, int down_first, const Kernel *kernel, uint8_t *out) {
    size_t size = (size_t)across->count * PIXEL, wide = (size_t)across->span * PIXEL;
    if (across->taps && down->taps) {
        uint8_t *between = malloc(down_first ? BLOCK * wide : (size_t)down->span * size);
        if (!between) return 0;
        (down_first ? down_then_across : across_then_down)(kernel, in, across, down, between, out);
        free(between);
    } else if (across->taps) {
        pass_across(kernel, in, down->count, across, out);
    } else if (down->taps) {
        pass_down(kernel, in, size, down, out);
    } else {
        for (int y = 0; y < down->count; y++, in.first += in.stride, out += size) memcpy(out, in.first, size);
    }
    return 1;
}

static int resize(const uint8_t *source, const Order *o, const Kernel *kernel, uint8_t *out) {
    Axis across = {0}, down = {0};
    Rows in = {source, (size_t)o->source_w * PIXEL};
    int done = make_axis(&across, o->source_w, o->resized_w, o->left, o->w, kernel->digit_bits, 1);
    int at_once = kernel->both && across.digits && o->source_h != o->resized_h && !o->down_first &&
                  o->source_w <= MOST_AT_ONCE * (int64_t)o->resized_w;
    done = done && make_axis(&down, o->source_h, o->resized_h, o->top, o->h, kernel->digit_bits, at_once ? GROUP : 1);
    if (done) {
        in.first += (size_t)down.first * in.stride + (size_t)across.first * PIXEL;
        done = at_once ? kernel->both(in, o->source_h - down.first, &across, &down, out)
                       : passes(in, &across, &down, o->down_first, kernel, out);
    }
    free_axis(&across);
    free_axis(&down);
    return done;
}

static const Kernel *kernel_named(const char *name) {
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if (!strcmp(kernels[i].name, name) && runs_here(&kernels[i])) return &kernels[i];
    PyErr_Format(PyExc_ValueError, "no kernel %s on this machine", name);
    return NULL;
}

static int is_valid(const Order *o) {
    return o->source_w > 0 && o->source_h > 0 && o->w > 0 && o->h > 0 && o->left >= 0 && o->top >= 0 &&
           o->w <= o->resized_w - o->left && o->h <= o->resized_h - o->top &&
           o->source_w < 1 << 24 && o->source_h < 1 << 24 && o->resized_w < 1 << 24 && o->resized_h < 1 << 24 &&
           (int64_t)o->w * o->h < INT32_MAX / PIXEL;
}

static PyObject *py_bicubic(PyObject *self, PyObject *args) {
    Order o;
    PyObject *capsule;
    const char *name;
    (void)self;
    if (!PyArg_ParseTuple(args, "sO(ii)(ii)(iiii)p:bicubic", &name, &capsule, &o.source_w, &o.source_h, &o.resized_w,
                          &o.resized_h, &o.left, &o.top, &o.w, &o.h, &o.down_first))
        return NULL;
    if (!is_valid(&o)) {
        PyErr_SetString(PyExc_ValueError, "the box must lie inside the resized image, of less than 2^24 pixels a side");
        return NULL;
    }
    const Kernel *kernel = kernel_named(name);
    const uint8_t *source = kernel ? pixels_of(capsule, (int64_t)o.source_w * o.source_h) : NULL;
    PyObject *result = source ? PyBytes_FromStringAndSize(NULL, (Py_ssize_t)o.w * o.h * PIXEL) : NULL;
    if (!result) return NULL;
    uint8_t *out = (uint8_t *)PyBytes_AsString(result);
    int done;
    Py_BEGIN_ALLOW_THREADS
    done = resize(source, &o, kernel, out);
    Py_END_ALLOW_THREADS
    if (done) return result;
    Py_DECREF(result);
    return PyErr_NoMemory();
}

static PyObject *py_kernels(PyObject *self, PyObject *none) {
    PyObject *names = PyList_New(0);
    (void)self;
    (void)none;
    for (size_t i = 0; names && i < sizeof kernels / sizeof *kernels; i++) {
        PyObject *name = runs_here(&kernels[i]) ? PyUnicode_FromString(kernels[i].name) : NULL;
        if (name && PyList_Append(names, name)) Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names;
}

static PyMethodDef methods[] = {
    {"bicubic", py_bicubic, METH_VARARGS,
     "bicubic(kernel, arrow_array, (w, h), resized, (left, top, w, h), down_first) -> bytes, four a pixel"},
    {"kernels", py_kernels, METH_NOARGS, "kernels() -> names of what runs on this processor, the fastest first"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_resize", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__resize(void) { return PyModule_Create(&module); }
