/* SHA-256 (FIPS 180-4) of many parts of a file, two at a time, by the instructions that x86 has for it.
 *
 * One message leaves these instructions half idle, as each waits for the one before; two that take turns fill them.
 * What is read lies in two small buffers, so that it is hashed while the processor still has it at hand.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define HAVE_SHA 1
#include <cpuid.h>
#include <immintrin.h>
#define SHA __attribute__((target("sha,sse4.1,ssse3")))
#endif

#define BLOCK 64
#define LANES 2
#define CHUNK (1 << 16) /* whole blocks */

#ifdef HAVE_SHA

static const uint32_t constants[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

typedef struct {
    int64_t offset, size;
    int is_hashed; /* else it could not be read */
    uint8_t digest[32];
} Part;

/* One part on its way: whole blocks of its own first, as they are read, then one or two that end it. */
typedef struct {
    __m128i abef, cdgh;
    Part *part; /* NULL for none */
    int64_t offset, left; /* not read yet */
    uint8_t *buffer;
    const uint8_t *next;
    size_t blocks; /* left at `next` */
    int ends;      /* blocks of `end` left, once these are done */
    uint8_t end[2 * BLOCK];
} Lane;

/* Takes `blocks` blocks of each of `lanes` parts. */
SHA static inline __attribute__((always_inline)) void take_blocks(Lane *lane, size_t blocks, const int lanes) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bULL, 0x0405060700010203ULL);
    __m128i abef[LANES], cdgh[LANES], words[LANES][4];
    for (int l = 0; l < lanes; l++) abef[l] = lane[l].abef, cdgh[l] = lane[l].cdgh;
    for (; blocks; blocks--) {
        for (int l = 0; l < lanes; l++) {
            for (int i = 0; i < 4; i++)
                words[l][i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(lane[l].next + 16 * i)), swap);
            lane[l].next += BLOCK;
        }
        __m128i before[LANES][2];
        for (int l = 0; l < lanes; l++) before[l][0] = abef[l], before[l][1] = cdgh[l];
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            const __m128i constant = _mm_load_si128((const __m128i *)(constants + 4 * i));
#pragma GCC unroll 2
            for (int l = 0; l < lanes; l++) {
                __m128i *w = words[l], sum = _mm_add_epi32(w[i & 3], constant);
                cdgh[l] = _mm_sha256rnds2_epu32(cdgh[l], abef[l], sum);
                abef[l] = _mm_sha256rnds2_epu32(abef[l], cdgh[l], _mm_shuffle_epi32(sum, 0x0e));
                if (i < 12) {
                    __m128i late = _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4);
                    __m128i early = _mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]);
                    w[i & 3] = _mm_sha256msg2_epu32(_mm_add_epi32(early, late), w[(i + 3) & 3]);
                }
            }
        }
        for (int l = 0; l < lanes; l++) {
            abef[l] = _mm_add_epi32(abef[l], before[l][0]);
            cdgh[l] = _mm_add_epi32(cdgh[l], before[l][1]);
        }
    }
    for (int l = 0; l < lanes; l++) lane[l].abef = abef[l], lane[l].cdgh = cdgh[l];
}

SHA static void take_one(Lane *lane, size_t blocks) { take_blocks(lane, blocks, 1); }
SHA static void take_two(Lane *lanes, size_t blocks) { take_blocks(lanes, blocks, 2); }

SHA static void begin(Lane *lane, Part *part) {
    lane->abef = _mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c);
    lane->cdgh = _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19);
    lane->part = part;
    lane->offset = part->offset;
    lane->left = part->size;
    lane->blocks = 0;
    lane->ends = -1; /* not known yet */
}

/* Makes the blocks that end a part: its last bytes, a bit, zeros, and its length in bits. */
static void make_end(Lane *lane, const uint8_t *rest, size_t size) {
    uint64_t bits = (uint64_t)lane->part->size * 8;
    lane->ends = size + 9 > BLOCK ? 2 : 1;
    memset(lane->end, 0, sizeof lane->end);
    if (size) memcpy(lane->end, rest, size);
    lane->end[size] = 0x80;
    for (int i = 0; i < 8; i++) lane->end[lane->ends * BLOCK - 1 - i] = (uint8_t)(bits >> 8 * i);
}

static int read_all(int fd, uint8_t *bytes, size_t size, int64_t offset) {
    while (size) {
        ssize_t got = pread(fd, bytes, size, offset);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return 0;
        bytes += got;
        size -= (size_t)got;
        offset += got;
    }
    return 1;
}

/* Gets the next blocks of a part; 0 where there are none left, or they cannot be read. */
static int more(Lane *lane, int fd) {
    if (lane->left) {
        size_t size = lane->left < CHUNK ? (size_t)lane->left : CHUNK;
        if (!read_all(fd, lane->buffer, size, lane->offset)) return 0;
        lane->offset += (int64_t)size;
        lane->left -= (int64_t)size;
        lane->next = lane->buffer;
        lane->blocks = size / BLOCK;
        if (!lane->left) make_end(lane, lane->buffer + lane->blocks * BLOCK, size % BLOCK);
    } else if (lane->ends < 0) {
        make_end(lane, NULL, 0);
    }
    if (!lane->blocks) {
        lane->next = lane->end;
        lane->blocks = (size_t)lane->ends;
        lane->ends = 0;
    }
    return lane->blocks > 0;
}

SHA static void finish(Lane *lane) {
    uint32_t abef[4], cdgh[4];
    _mm_storeu_si128((__m128i *)abef, lane->abef);
    _mm_storeu_si128((__m128i *)cdgh, lane->cdgh);
    const uint32_t state[8] = {abef[3], abef[2], cdgh[3], cdgh[2], abef[1], abef[0], cdgh[1], cdgh[0]};
    for (int i = 0; i < 32; i++) lane->part->digest[i] = (uint8_t)(state[i / 4] >> 8 * (3 - i % 4));
    lane->part->is_hashed = !lane->left && !lane->ends;
    lane->part = NULL;
}

/* Gives a lane that has nothing to do the next blocks of its part, or of a new one; returns whether it has any. */
static int feed(Lane *lane, int fd, Part **next, const Part *last) {
    while (!lane->part || !lane->blocks) {
        if (lane->part && more(lane, fd)) return 1;
        if (lane->part) finish(lane);
        if (*next == last) return 0;
        begin(lane, (*next)++);
    }
    return 1;
}

/* Hashes all parts, a lane taking the next one as soon as its last one is done. */
static void hash_all(int fd, Part *parts, Py_ssize_t count, uint8_t *buffers) {
    Lane lanes[LANES] = {{.buffer = buffers}, {.buffer = buffers + CHUNK}};
    Part *next = parts;
    for (;;) {
        int first = feed(&lanes[0], fd, &next, parts + count), second = feed(&lanes[1], fd, &next, parts + count);
        if (!first && !second) return;
        if (first && second) {
            size_t blocks = lanes[0].blocks < lanes[1].blocks ? lanes[0].blocks : lanes[1].blocks;
            take_two(lanes, blocks);
            lanes[0].blocks -= blocks;
            lanes[1].blocks -= blocks;
        } else {
            Lane *lane = &lanes[first ? 0 : 1];
            take_one(lane, lane->blocks);
            lane->blocks = 0;
        }
    }
}

static int runs_here(void) {
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & (1u << 29)) && __builtin_cpu_supports("sse4.1") &&
           __builtin_cpu_supports("ssse3");
}

/* Reads the pairs (offset, size) of a list into parts; 0 with an error set. */
static int take_places(PyObject *places, Part *parts, Py_ssize_t count) {
    for (Py_ssize_t i = 0; i < count; i++) {
        long long offset, size;
        PyObject *pair = PyList_GetItem(places, i);
        if (!pair || !PyTuple_Check(pair)) {
            PyErr_SetString(PyExc_TypeError, "places must be tuples");
            return 0;
        }
        if (!PyArg_ParseTuple(pair, "LL", &offset, &size)) return 0;
        if (offset < 0 || size < 0 || size > INT64_MAX / 16 || offset > INT64_MAX - size) {
            PyErr_SetString(PyExc_ValueError, "offset and size must not be negative, nor too large");
            return 0;
        }
        parts[i] = (Part){.offset = offset, .size = size};
    }
    return 1;
}

static PyObject *hashed(int fd, Part *parts, Py_ssize_t count, uint8_t *buffers) {
    Py_BEGIN_ALLOW_THREADS
    hash_all(fd, parts, count, buffers);
    Py_END_ALLOW_THREADS
    PyObject *digests = PyList_New(0);
    for (Py_ssize_t i = 0; digests && i < count; i++) {
        PyObject *digest = Py_BuildValue("y#", parts[i].digest, (Py_ssize_t)(parts[i].is_hashed ? 32 : 0));
        if (!digest || PyList_Append(digests, digest)) Py_CLEAR(digests);
        Py_XDECREF(digest);
    }
    return digests;
}

static PyObject *py_digests(PyObject *self, PyObject *args) {
    PyObject *places, *digests = NULL;
    int fd;
    (void)self;
    if (!PyArg_ParseTuple(args, "iO!:digests", &fd, &PyList_Type, &places)) return NULL;
    Py_ssize_t count = PyList_Size(places);
    Part *parts = PyMem_Malloc((size_t)count * sizeof *parts + 1);
    uint8_t *buffers = PyMem_Malloc(LANES * CHUNK);
    if (!parts || !buffers) PyErr_NoMemory();
    else if (take_places(places, parts, count)) digests = hashed(fd, parts, count, buffers);
    PyMem_Free(buffers);
    PyMem_Free(parts);
    return digests;
}

#else
static int runs_here(void) { return 0; }

static PyObject *py_digests(PyObject *self, PyObject *argument) {
    (void)self;
    (void)argument;
    return PyErr_Format(PyExc_NotImplementedError, "no instructions for SHA-256 that this code knows");
}
#endif

static PyObject *py_runs_here(PyObject *self, PyObject *none) {
    (void)self;
    (void)none;
    return PyBool_FromLong(runs_here());
}

static PyMethodDef methods[] = {
    {"digests", py_digests, METH_VARARGS,
     "digests(descriptor, [(offset, size)]) -> SHA-256 of each, empty where it is not there; only where runs_here()"},
    {"runs_here", py_runs_here, METH_NOARGS, "runs_here() -> whether this processor has the instructions"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_sha256", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__sha256(void) { return PyModule_Create(&module); }
