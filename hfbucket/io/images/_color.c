/* Pixels of four bytes through curves, a matrix and curves again: the colours of a matrix-shaper profile (ICC.1 annex F).
 *
 * The caller makes the tables (shaper.py). A channel's byte looks up what it gives to each of the three results, curve and
 * matrix in one; the sums have 28 fractional bits, are cut to 14 and clipped to 0..1, and look up the byte that comes out.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

#include "_pixels.h"

#if defined(__x86_64__) || defined(_M_X64)
#define HAVE_SSE2 1
#include <emmintrin.h>
#endif

#define FRACTION_BITS 14
#define ONE (1 << FRACTION_BITS)
#define LEVELS 256

/* What each byte of each channel gives to red, green, blue and nothing, one pixel's worth of sums. */
typedef int32_t Shares[3][LEVELS][PIXEL];

static void shape_plain(const uint8_t *in, int64_t pixels, const int32_t (*share)[LEVELS][PIXEL], const uint8_t *bytes,
                        uint8_t *out) {
    for (int64_t i = 0; i < pixels; i++, in += PIXEL, out += PIXEL) {
        for (int c = 0; c < 3; c++) {
            int32_t sum = (share[0][in[0]][c] + share[1][in[1]][c] + share[2][in[2]][c]) >> FRACTION_BITS;
            out[c] = bytes[sum < 0 ? 0 : sum > ONE ? ONE : sum];
        }
        out[3] = 255;
    }
}

#ifdef HAVE_SSE2

static __m128i sums(const uint8_t *in, const int32_t (*share)[LEVELS][PIXEL]) {
    __m128i red = _mm_loadu_si128((const __m128i *)share[0][in[0]]);
    __m128i green = _mm_loadu_si128((const __m128i *)share[1][in[1]]);
    __m128i blue = _mm_loadu_si128((const __m128i *)share[2][in[2]]);
    return _mm_srai_epi32(_mm_add_epi32(_mm_add_epi32(red, green), blue), FRACTION_BITS);
}

/* Two pixels at once; 16 bits hold more than what is clipped. */
static void shape(const uint8_t *in, int64_t pixels, const int32_t (*share)[LEVELS][PIXEL], const uint8_t *bytes,
                  uint8_t *out) {
    const __m128i zero = _mm_setzero_si128(), one = _mm_set1_epi16(ONE);
    int64_t i = 0;
    for (; i + 2 <= pixels; i += 2, in += 2 * PIXEL, out += 2 * PIXEL) {
        __m128i pair = _mm_packs_epi32(sums(in, share), sums(in + PIXEL, share));
        pair = _mm_max_epi16(_mm_min_epi16(pair, one), zero);
        out[0] = bytes[_mm_extract_epi16(pair, 0)];
        out[1] = bytes[_mm_extract_epi16(pair, 1)];
        out[2] = bytes[_mm_extract_epi16(pair, 2)];
        out[3] = 255;
        out[4] = bytes[_mm_extract_epi16(pair, 4)];
        out[5] = bytes[_mm_extract_epi16(pair, 5)];
        out[6] = bytes[_mm_extract_epi16(pair, 6)];
        out[7] = 255;
    }
    shape_plain(in, pixels - i, share, bytes, out);
}

#else
#define shape shape_plain
#endif

static PyObject *py_shape(PyObject *self, PyObject *args) {
    PyObject *capsule;
    const char *shares, *bytes;
    Py_ssize_t pixels, share_size, count;
    (void)self;
    if (!PyArg_ParseTuple(args, "Ony#y#:shape", &capsule, &pixels, &shares, &share_size, &bytes, &count)) return NULL;
    if (share_size != sizeof(Shares) || count != ONE + 1 || pixels < 0 || pixels > PY_SSIZE_T_MAX / PIXEL) {
        PyErr_SetString(PyExc_ValueError, "the tables must be of 3 * 256 * 4 integers and 16,385 bytes");
        return NULL;
    }
    const uint8_t *source = pixels_of(capsule, pixels);
    PyObject *result = source ? PyBytes_FromStringAndSize(NULL, pixels * PIXEL) : NULL;
    if (!result) return NULL;
    uint8_t *out = (uint8_t *)PyBytes_AsString(result);
    Py_BEGIN_ALLOW_THREADS
    shape(source, pixels, (const int32_t (*)[LEVELS][PIXEL])shares, (const uint8_t *)bytes, out);
    Py_END_ALLOW_THREADS
    return result;
}

static PyMethodDef methods[] = {
    {"shape", py_shape, METH_VARARGS, "shape(arrow_array, pixels, shares, bytes) -> bytes, four a pixel"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_color", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__color(void) { return PyModule_Create(&module); }
