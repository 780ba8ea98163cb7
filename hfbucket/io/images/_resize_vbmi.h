/* Rows, then columns, on processors with VBMI and VNNI (of AVX-512), in vectors of 64 bytes. A part of `_resize.c`.
 *
 * Multiplying and shuffling bound the speed. So no lane goes to the fourth byte of a pixel, which no one reads, and
 * the first pass leaves its rows as the second multiplies them: four rows are a quad, the four bytes of a column (one
 * color of a pixel) side by side. For this the windows of `down` begin at whole quads. Quads are made when an output
 * needs them and kept in a ring, which stays in the nearest cache.
 *
 * The sums are exact. A weight is at most 1.2 * 2^22, which three signed bytes hold. `dpbusd` adds modulo 2^32 and
 * never saturates; a digit's sum may go around, but the three, shifted and added, are the sum of pixels times weights
 * and a half modulo 2^32. That fits: the weights of a window are together 2^22, without their signs less than
 * 1.3 * 2^22, and 1.3 * 2^22 * 255 + 2^21 < 2^31. Without the fraction it is within 9 bits and a sign, so that only
 * the last step of packing clips it, as Pillow does. */
#ifndef HFBUCKET_RESIZE_VBMI_H
#define HFBUCKET_RESIZE_VBMI_H

#define VBMI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")))
#define VECTOR 64
#define LANES 16  /* of a vector: pixels, or sums */
#define COLORS 3
#define OUTPUTS 5 /* of a row, that a vector has lanes for */
#define DIGITS 3

/* By digit, sums or weights: members, as gcc keeps arrays of vectors in memory. */
typedef struct {
    __m512i low, middle, high;
} Three;

/* What both passes look up. The first makes blocks of `outputs` outputs, for which a vector gathers a group of inputs
 * each, from the next 16 inputs or, where these are too few (`is_far`), 32. */
typedef struct {
    int is_far, outputs, blocks, groups, slots;
    size_t quad;     /* bytes of a quad */
    uint8_t *memory; /* of what follows, which begins at whole vectors */
    uint8_t *pixels; /* a vector: where the bytes of 16 pixels lie after the second pass */
    uint8_t *places; /* a vector for each block: where among the inputs the bytes of each lane lie */
    uint8_t *digits; /* three vectors for each group of each block: the weights of each lane */
    uint8_t *ring;   /* quads: number n has slot n modulo `slots`, a power of two */
} Tables;

/* How many outputs in a row always have a group within the next `inputs` inputs. */
static int outputs_within(const Axis *axis, int inputs) {
    int outputs = OUTPUTS;
    for (int i = 0; i < axis->count; i++)
        while (axis->start[i] - axis->start[i < outputs ? 0 : i - outputs + 1] > inputs - GROUP) outputs--;
    return outputs;
}

/* Writes what the lanes of a block gather, and their weights. */
static void fill_block(Tables *tables, const Axis *axis, int block) {
    int first = block * tables->outputs, end = first + tables->outputs;
    size_t groups = (size_t)tables->groups;
    uint8_t *places = tables->places + (size_t)block * VECTOR;
    uint8_t *lanes = tables->digits + (size_t)block * groups * DIGITS * VECTOR;
    for (int i = first; i < end && i < axis->count; i++, lanes += COLORS * GROUP) {
        int ahead = axis->start[i] - axis->start[first];
        const uint8_t *weights = axis->digits + (size_t)i * groups * 16;
        for (int c = 0; c < COLORS; c++)
            for (int j = 0; j < GROUP; j++) *places++ = (uint8_t)((ahead + j) * PIXEL + c);
        for (size_t group = 0; group < groups; group++, weights += 16)
            for (size_t digit = 0; digit < DIGITS; digit++)
                for (size_t c = 0; c < COLORS; c++)
                    memcpy(lanes + (group * DIGITS + digit) * VECTOR + c * GROUP, weights + digit * GROUP, GROUP);
    }
}

static int make_tables(Tables *tables, const Axis *across, const Axis *down) {
    tables->is_far = outputs_within(across, LANES) < 4;
    tables->outputs = outputs_within(across, tables->is_far ? 2 * LANES : LANES);
    tables->blocks = (across->count + tables->outputs - 1) / tables->outputs;
    tables->groups = across->taps / GROUP;
    for (tables->slots = 1; tables->slots < down->taps / GROUP;) tables->slots *= 2;
    /* The first pass writes a vector for the last block, too; the second reads 16 pixels at once: three vectors. */
    tables->quad = ((size_t)across->count + LANES) * COLORS * GROUP / VECTOR * VECTOR + VECTOR;
    size_t places = (size_t)tables->blocks * VECTOR, digits = places * DIGITS * (size_t)tables->groups;
    tables->memory = calloc(2 * VECTOR + places + digits + (size_t)tables->slots * tables->quad, 1);
    if (!tables->memory) return 0;
    tables->pixels = tables->memory + (VECTOR - (uintptr_t)tables->memory % VECTOR);
    tables->places = tables->pixels + VECTOR;
    tables->digits = tables->places + places;
    tables->ring = tables->digits + digits;
    for (int i = 0; i < VECTOR; i++) { /* `packed_512` takes four lanes of each vector in turn */
        int column = i / PIXEL * COLORS + i % PIXEL;
        tables->pixels[i] = (uint8_t)(column % LANES / 4 * 16 + column / LANES % 4 * 4 + column % 4);
    }
    for (int block = 0; block < tables->blocks; block++) fill_block(tables, across, block);
    return 1;
}

VBMI static inline Three no_sums(void) {
    return (Three){_mm512_set1_epi32(HALF), _mm512_setzero_si512(), _mm512_setzero_si512()};
}

VBMI static inline Three added(Three sums, __m512i four, Three weights) {
    return (Three){_mm512_dpbusd_epi32(sums.low, four, weights.low),
                   _mm512_dpbusd_epi32(sums.middle, four, weights.middle),
                   _mm512_dpbusd_epi32(sums.high, four, weights.high)};
}

VBMI static inline __m512i whole_512(Three sums) {
    __m512i upper = _mm512_add_epi32(sums.middle, _mm512_slli_epi32(sums.high, 8));
    return _mm512_srai_epi32(_mm512_add_epi32(sums.low, _mm512_slli_epi32(upper, 8)), FRACTION_BITS);
}

/* The bytes of four sums: in each 16, four of every vector. */
VBMI static inline __m512i packed_512(Three a, Three b, Three c, Three d) {
    return _mm512_packus_epi16(_mm512_packs_epi32(whole_512(a), whole_512(b)),
                               _mm512_packs_epi32(whole_512(c), whole_512(d)));
}

/* As many lanes as pixels are left. */
VBMI static inline __mmask16 first_lanes(int left) {
    return (__mmask16)(left >= LANES ? 0xFFFF : left > 0 ? (1 << left) - 1 : 0);
}

/* A group of each output, of `left` pixels of a row; what lies behind these is not read. */
VBMI static inline __m512i gathered(const uint8_t *pixels, int left, __m512i places, int is_far) {
    __m512i next = _mm512_maskz_loadu_epi32(first_lanes(left), pixels);
    if (!is_far) return _mm512_permutexvar_epi8(places, next);
    __m512i after = _mm512_maskz_loadu_epi32(first_lanes(left - LANES), pixels + VECTOR);
    return _mm512_permutex2var_epi8(next, places, after);
}

/* Four rows, and how many bytes behind each the one lies that the next quad has in its place. */
typedef struct {
    const uint8_t *row[GROUP];
    size_t next;
} Four;

/* Makes a quad of four rows. Meanwhile those of the next come nearer: a large photo is in no cache. */
VBMI static inline void make_quad(const Four *in, const Axis *axis, const Tables *tables, int is_far, int groups,
                                  uint8_t *out) {
    const __m512i by_column = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const uint8_t *digits = tables->digits;
    for (int block = 0; block < tables->blocks; block++, out += tables->outputs * COLORS * GROUP) {
        int start = axis->start[block * tables->outputs], left = axis->span - start;
        __m512i places = _mm512_load_si512(tables->places + (size_t)block * VECTOR);
        for (int j = 0; j < GROUP; j++) {
            const char *pixels = (const char *)in->row[j] + in->next + (size_t)start * PIXEL;
            _mm_prefetch(pixels, _MM_HINT_T0);
            if (is_far) _mm_prefetch(pixels + VECTOR, _MM_HINT_T0);
        }
        Three a = no_sums(), b = no_sums(), c = no_sums(), d = no_sums();
        for (int group = 0; group < groups; group++, left -= GROUP, digits += DIGITS * VECTOR) {
            size_t at = ((size_t)start + (size_t)group * GROUP) * PIXEL;
            Three weights = {_mm512_load_si512(digits), _mm512_load_si512(digits + VECTOR),
                             _mm512_load_si512(digits + 2 * VECTOR)};
            a = added(a, gathered(in->row[0] + at, left, places, is_far), weights);
            b = added(b, gathered(in->row[1] + at, left, places, is_far), weights);
            c = added(c, gathered(in->row[2] + at, left, places, is_far), weights);
            d = added(d, gathered(in->row[3] + at, left, places, is_far), weights);
        }
        _mm512_storeu_si512(out, _mm512_shuffle_epi8(packed_512(a, b, c, d), by_column));
    }
}

VBMI static void first_pass(const Four *in, const Axis *axis, const Tables *tables, uint8_t *out) {
    if (tables->is_far)
        make_quad(in, axis, tables, 1, tables->groups, out);
    else if (tables->groups == 2) /* photos a little smaller: without a loop gcc keeps the sums where they are */
        make_quad(in, axis, tables, 0, 2, out);
    else
        make_quad(in, axis, tables, 0, tables->groups, out);
}

VBMI static inline __m512i in_all_lanes(const uint8_t *digits) {
    int32_t four;
    memcpy(&four, digits, GROUP);
    return _mm512_set1_epi32(four);
}

/* Makes a row of `count` pixels of `quads` quads, from number `first` on. */
VBMI static void second_pass(const Tables *tables, int first, int quads, const uint8_t *digits, int count,
                             uint8_t *out) {
    const __m512i to_pixels = _mm512_load_si512(tables->pixels);
    for (int x = 0; x < count; x += LANES) {
        Three a = no_sums(), b = no_sums(), c = no_sums();
        for (int i = 0; i < quads; i++) {
            size_t slot = (size_t)((first + i) & (tables->slots - 1));
            const uint8_t *cell = tables->ring + slot * tables->quad + (size_t)x * COLORS * GROUP;
            const uint8_t *four = digits + (size_t)i * 16;
            Three weights = {in_all_lanes(four), in_all_lanes(four + GROUP), in_all_lanes(four + 2 * GROUP)};
            a = added(a, _mm512_load_si512(cell), weights);
            b = added(b, _mm512_load_si512(cell + VECTOR), weights);
            c = added(c, _mm512_load_si512(cell + 2 * VECTOR), weights);
        }
        __m512i pixels = _mm512_maskz_permutexvar_epi8(0x7777777777777777, to_pixels, packed_512(a, b, c, c));
        _mm512_mask_storeu_epi32(out + (size_t)x * PIXEL, first_lanes(count - x), pixels);
    }
}

/* As many quads as have weights; the others of a window are padding. */
static int quads_weighed(const uint8_t *digits, int quads) {
    static const uint8_t none[16];
    while (quads > 1 && !memcmp(digits + (size_t)(quads - 1) * 16, none, 16)) quads--;
    return quads;
}

static int both_vbmi(Rows in, int height, const Axis *across, const Axis *down, uint8_t *out) {
    Tables tables = {0};
    if (!make_tables(&tables, across, down)) return 0;
    for (int i = 0, made = 0; i < down->count; i++, out += (size_t)across->count * PIXEL) {
        const uint8_t *digits = down->digits + (size_t)i * (size_t)down->taps * 4;
        int first = down->start[i] / GROUP, quads = quads_weighed(digits, down->taps / GROUP);
        for (; made < first + quads; made++) {
            Four four = {.next = made * GROUP + 2 * GROUP <= height ? GROUP * in.stride : 0};
            for (int j = 0; j < GROUP; j++) { /* behind the last row it comes again, without weight */
                int number = made * GROUP + j;
                four.row[j] = in.first + (size_t)(number < height ? number : height - 1) * in.stride;
            }
            first_pass(&four, across, &tables, tables.ring + (size_t)(made & (tables.slots - 1)) * tables.quad);
        }
        second_pass(&tables, first, quads, digits, across->count, out);
    }
    free(tables.memory);
    return 1;
}

#endif
