/* Walks the markers of a plain JPEG (ITU-T T.81, annex B) from its first byte to its end marker, pixels undecoded.
 *
 * Plain is what nearly every photo is: one frame of three 8-bit components, Huffman-coded, baseline or progressive; a
 * colour profile in one piece; every segment where and as long as it should be, and none that readers differ on. Of
 * anything else nothing is said: the reader in Python, which knows all of it, looks at it.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

enum { SOF0 = 0xC0, SOF2 = 0xC2, DHT = 0xC4, EOI = 0xD9, SOS = 0xDA, DQT = 0xDB, DRI = 0xDD, APP0 = 0xE0, COM = 0xFE };
enum { APP1 = APP0 + 1, APP2 = APP0 + 2, APP13 = APP0 + 13, APP14 = APP0 + 14, APP15 = APP0 + 15 };

typedef struct {
    const uint8_t *at;
    Py_ssize_t size;
} Bytes;

typedef struct {
    long width, height;       /* 0 before the frame header */
    Bytes exif, xmp, profile; /* after what they begin with */
    int others;               /* it has an index of further pictures (CIPA DC-007) */
} Found;

/* Keeps what may be there once; returns whether it was not yet. */
static int keep(Bytes *place, Bytes body) {
    int is_first = !place->at;
    *place = body;
    return is_first;
}

/* Takes the name that a segment begins with off its body; returns whether it has it. */
static int take_name(Bytes *body, const char *name, Py_ssize_t size) {
    if (body->size < size || memcmp(body->at, name, (size_t)size)) return 0;
    *body = (Bytes){body->at + size, body->size - size};
    return 1;
}

#define NAMED(body, name) take_name(&(body), name, (Py_ssize_t)sizeof(name) - 1)

/* Returns whether Photoshop's resources have whole headers; one that ends after its number upsets Pillow. */
static int has_whole_headers(Bytes body) {
    while (body.size >= 4 && !memcmp(body.at, "8BIM", 4)) {
        if (body.size < 12) return 0;
        int64_t size = (7 + body.at[6] + 1) & ~1; /* the name with its length is padded, as the data are */
        if (body.size < size + 4) return 1;
        const uint8_t *at = body.at + size;
        size += 4 + ((((int64_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3]) + 1) & ~(int64_t)1);
        if (size > body.size) return 1;
        body = (Bytes){body.at + size, body.size - (Py_ssize_t)size};
    }
    return 1;
}

/* Takes a segment that stands before the first scan; returns whether it is plain. */
static int take_segment(int marker, Bytes body, Found *found) {
    if (marker >= SOF0 && marker <= SOF2) {
        if (found->width || body.size != 15 || body.at[0] != 8 || body.at[5] != 3) return 0;
        found->height = body.at[1] << 8 | body.at[2];
        found->width = body.at[3] << 8 | body.at[4];
        return found->width && found->height;
    }
    if (marker == APP0) return !NAMED(body, "JFIF") || body.size >= 10;
    if (marker == APP1 && NAMED(body, "Exif\0\0")) return keep(&found->exif, body);
    if (marker == APP1 && NAMED(body, "http://ns.adobe.com/xap/1.0/\0")) return keep(&found->xmp, body);
    if (marker == APP2 && NAMED(body, "ICC_PROFILE\0")) /* the first part of one, and before the frame header */
        return !found->width && NAMED(body, "\1\1") && keep(&found->profile, body);
    if (marker == APP2 && NAMED(body, "MPF\0")) found->others = 1;
    if (marker == APP13) return !NAMED(body, "Photoshop 3.0\0") || has_whole_headers(body);
    if (marker == APP14) return !NAMED(body, "Adobe") || body.size == 7;
    return (marker > APP0 && marker <= APP15) || marker == DHT || marker == DQT || marker == DRI || marker == COM;
}

/* Returns where the entropy-coded data after a scan's header end, at the 0xFF of a marker; NULL where they do not. */
static const uint8_t *end_of_scan(const uint8_t *at, const uint8_t *end) {
    while (at < end && (at = memchr(at, 0xFF, (size_t)(end - at))) && at + 1 < end) {
        if (at[1] && (at[1] < 0xD0 || at[1] > 0xD7)) return at; /* neither a stuffed zero nor a restart */
        at += 2;
    }
    return NULL;
}

/* Returns whether a file is a plain JPEG; what follows its end marker is not looked at. */
static int look(Bytes file, Found *found) {
    const uint8_t *at = file.at + 2, *end = file.at + file.size;
    int scans = 0;
    if (file.size < 4 || file.at[0] != 0xFF || file.at[1] != 0xD8) return 0;
    while (at && end - at >= 4 && at[0] == 0xFF) {
        int marker = at[1], length = at[2] << 8 | at[3];
        if (length < 2 || length > end - at - 2) return 0;
        if (marker == SOS) {
            if (!found->width) return 0;
            at = end_of_scan(at + 2 + length, end);
            if (at && at[1] == EOI) return 1;
            scans++;
            continue;
        }
        if (scans ? marker != DHT : !take_segment(marker, (Bytes){at + 4, length - 2}, found)) return 0;
        at += 2 + length;
    }
    return 0;
}

static PyObject *bytes_of(Bytes bytes) {
    return PyBytes_FromStringAndSize(bytes.size ? (const char *)bytes.at : "", bytes.size);
}

static PyObject *py_plain(PyObject *self, PyObject *args) {
    Bytes file;
    Found found = {0};
    const char *data;
    (void)self;
    if (!PyArg_ParseTuple(args, "y#:plain", &data, &file.size)) return NULL;
    file.at = (const uint8_t *)data;
    if (!look(file, &found)) Py_RETURN_NONE;
    return Py_BuildValue("(llNNNi)", found.width, found.height, bytes_of(found.exif), bytes_of(found.xmp),
                         bytes_of(found.profile), found.others ? 2 : 1);
}

static PyMethodDef methods[] = {
    {"plain", py_plain, METH_VARARGS, "plain(data) -> (width, height, exif, xmp, profile, frames), sizes as stored, or None"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_jpeg", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__jpeg(void) { return PyModule_Create(&module); }
