/* Walks the plain samples of a tar, in a local file or in a piece of a file that is in memory: what nearly every member
 * of nearly every tar is, and nothing else.
 *
 * A plain member has a ustar, GNU or old header (POSIX.1-1988, section 10.1.1) with octal numbers, a right checksum and
 * a UTF-8 name that needs no other header; pax headers (POSIX.1-2001) that only tell times and owners are passed over.
 * A plain sample has one image and a few small members beside it. At anything else, and where a piece ends, the walk
 * ends before the sample it is in, and the reader in Python, which knows all of it, goes on from there. A JPEG's size,
 * components, orientation and position are read here where its markers (ITU-T T.81, annex B) and EXIF (CIPA DC-008) are
 * usual.
 *
 * Nothing that is read is trusted: each access goes through `see`, or `Bytes` cut from it, with its length checked.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 512
#define USUAL_READ 6144 /* takes in the end of a sample and the headers of the next one, and its first image's */
#define BUFFER_BYTES (96 << 10)
#define NAME_BYTES 256 /* 155 of the prefix, a slash, 100 of the name */
#define EXTENSION_BYTES 15
#define SIDECAR_BYTES (1 << 16)
#define MEMBERS 16         /* of one sample */
#define SEGMENTS 256       /* of one JPEG before its scan */
#define BATCH_BYTES (1 << 22)

/* ------------------------------------------------------------------ bytes of the file */

typedef struct {
    const uint8_t *at;
    int64_t size;
} Bytes;

typedef struct {
    int fd;              /* -1 where all that can be read is in memory */
    int64_t end;         /* of the file */
    int64_t start, have; /* of what is in memory, at `held` */
    const uint8_t *held;
    uint8_t *buffer; /* to read into; NULL without a descriptor */
} File;

/* Returns `size` bytes of the file, valid until the next call; NULL where there are not so many, or not at once. */
static const uint8_t *see(File *file, int64_t from, int64_t size) {
    if (from < 0 || size < 0 || size > BUFFER_BYTES || from > file->end - size) return NULL;
    if (from >= file->start && from - file->start <= file->have - size) return file->held + (from - file->start);
    if (!file->buffer) return NULL;
    int64_t wanted = size > USUAL_READ ? size : USUAL_READ;
    if (wanted > file->end - from) wanted = file->end - from;
    file->start = from;
    file->have = 0;
    Py_BEGIN_ALLOW_THREADS
    while (file->have < wanted) {
        ssize_t got = pread(file->fd, file->buffer + file->have, (size_t)(wanted - file->have), from + file->have);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break; /* the reader in Python meets it again, and says what it is */
        file->have += got;
    }
    Py_END_ALLOW_THREADS
    return file->have >= size ? file->held : NULL;
}

static int starts_with(Bytes bytes, const char *text, int64_t size) {
    return bytes.size >= size && !memcmp(bytes.at, text, (size_t)size);
}

static int contains(Bytes bytes, const char *text) {
    int64_t size = (int64_t)strlen(text);
    while (bytes.size >= size) {
        const uint8_t *found = memchr(bytes.at, text[0], (size_t)(bytes.size - size + 1));
        if (!found) return 0;
        if (!memcmp(found, text, (size_t)size)) return 1;
        bytes.size -= found + 1 - bytes.at;
        bytes.at = found + 1;
    }
    return 0;
}

/* ------------------------------------------------------------------ headers of members */

typedef struct {
    int64_t start;        /* of its first header */
    int64_t offset, size; /* of its data */
    int name_size, stem_size;
    char name[NAME_BYTES + 1];
} Member;

enum { MEMBER, END, UNUSUAL };

static int64_t padded(int64_t size) { return (size + BLOCK - 1) / BLOCK * BLOCK; }

/* Returns the octal number of a field with blanks around it and a NUL after it; -1 for anything else. */
static int64_t octal(const uint8_t *field, int size) {
    int64_t value = 0;
    int at = 0, digits = 0;
    while (at < size && field[at] == ' ') at++;
    for (; at < size && field[at] >= '0' && field[at] <= '7'; at++, digits++) value = value * 8 + (field[at] - '0');
    while (at < size && field[at] == ' ') at++;
    return digits && (at == size || !field[at]) ? value : -1;
}

static int has_its_checksum(const uint8_t *block) {
    uint32_t total = 8 * ' ';
    for (int at = 0; at < BLOCK; at++) total += block[at];
    for (int at = 148; at < 156; at++) total -= block[at];
    return octal(block + 148, 8) == (int64_t)total;
}

/* Takes one record of a pax header, `<length> <key>=<value>\n`; returns whether it tells only of times and owners. */
static int is_harmless(Bytes *pax) {
    static const char *const keys[] = {"mtime", "atime", "ctime", "uid", "gid", "uname", "gname"};
    int64_t length = 0, at = 0;
    for (; at < pax->size && at < 7 && pax->at[at] >= '0' && pax->at[at] <= '9'; at++)
        length = length * 10 + (pax->at[at] - '0');
    if (!at || at >= pax->size || pax->at[at] != ' ' || length <= at + 1 || length > pax->size) return 0;
    Bytes record = {pax->at + at + 1, length - at - 2};
    *pax = (Bytes){pax->at + length, pax->size - length};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int64_t size = (int64_t)strlen(keys[i]);
        if (starts_with(record, keys[i], size) && record.size > size && record.at[size] == '=') return 1;
    }
    return 0;
}

static int pax_is_harmless(File *file, int64_t offset, int64_t size) {
    Bytes pax = {see(file, offset, size), size};
    if (!pax.at || !size) return 0;
    while (pax.size)
        if (!is_harmless(&pax)) return 0;
    return 1;
}

/* Returns whether a text is UTF-8; asks only where it has more than ASCII. */
static int is_utf8(const char *text, int size) {
    for (int at = 0; at < size; at++) {
        if ((signed char)text[at] >= 0) continue;
        PyObject *decoded = PyUnicode_DecodeUTF8(text, size, NULL);
        if (!decoded) PyErr_Clear();
        Py_XDECREF(decoded);
        return decoded != NULL;
    }
    return 1;
}

/* Takes the name of a header block; returns whether it is plain: of a file below the root, not hidden, with a simple
 * extension. */
static int take_name(Member *member, const uint8_t *block) {
    const void *nul = memchr(block, 0, 100);
    int size = nul ? (int)((const uint8_t *)nul - block) : 100, start = 0, dot;
    if (!memcmp(block + 257, "ustar", 6) && block[345]) {
        nul = memchr(block + 345, 0, 155);
        start = nul ? (int)((const uint8_t *)nul - (block + 345)) : 155;
        memcpy(member->name, block + 345, (size_t)start);
        member->name[start++] = '/';
    }
    memcpy(member->name + start, block, (size_t)size);
    size += start;
    if (size > 2 && !memcmp(member->name, "./", 2)) memmove(member->name, member->name + 2, (size_t)(size -= 2));
    member->name[size] = 0;
    if (!size || member->name[0] == '/' || member->name[0] == '.' || strstr(member->name, "/.")) return 0;
    for (dot = size - 1; dot > 0 && member->name[dot] != '.'; dot--) {
        char c = member->name[dot];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')) return 0;
    }
    if (!dot || dot == size - 1 || size - 1 - dot > EXTENSION_BYTES || !strcmp(member->name + dot, ".gz")) return 0;
    member->name_size = size;
    member->stem_size = dot;
    return is_utf8(member->name, size);
}

/* Reads the headers of the member that begins at a place: MEMBER, END at the zeros after the last one, or UNUSUAL. */
static int next_member(File *file, int64_t position, Member *member) {
    static const uint8_t zeros[BLOCK];
    member->start = position;
    for (int passed = 0; passed < 2; passed++) {
        const uint8_t *block = see(file, position, BLOCK);
        if (!block) return UNUSUAL;
        if (!block[0] && !memcmp(block, zeros, BLOCK)) return passed ? UNUSUAL : END;
        int64_t size = octal(block + 124, 12);
        if (size < 0 || !has_its_checksum(block)) return UNUSUAL;
        position += BLOCK;
        if (size > file->end - position) return UNUSUAL;
        if (block[156] == 'x') {
            if (!pax_is_harmless(file, position, size)) return UNUSUAL;
            position += padded(size);
            continue;
        }
        if (block[156] != '0' && block[156]) return UNUSUAL;
        member->offset = position;
        member->size = size;
        return take_name(member, block) ? MEMBER : UNUSUAL;
    }
    return UNUSUAL;
}

static int same_stem(const Member *a, const Member *b) {
    return a->stem_size == b->stem_size && !memcmp(a->name, b->name, (size_t)a->stem_size);
}

/* ------------------------------------------------------------------ headers of JPEGs */

typedef struct {
    long width, height, channels, orientation; /* orientation 0 where nothing says it */
    int gps;
} Header;

typedef struct {
    Bytes bytes;
    int big_endian;
} Tiff;

static uint32_t word(const Tiff *tiff, int64_t at, int size) {
    uint32_t value = 0;
    for (int i = 0; i < size; i++) value = value << 8 | tiff->bytes.at[at + (tiff->big_endian ? i : size - 1 - i)];
    return value;
}

/* Finds the first entry of a directory with a tag: 1 with its value where that is one integer in place, 0 without. */
static int find(const Tiff *tiff, int64_t directory, uint32_t tag, int64_t *value) {
    *value = 0;
    if (directory + 2 > tiff->bytes.size) return 0;
    int64_t end = directory + 2 + 12 * (int64_t)word(tiff, directory, 2);
    for (int64_t at = directory + 2; at < end && at + 12 <= tiff->bytes.size; at += 12) {
        if (word(tiff, at, 2) != tag) continue;
        uint32_t kind = word(tiff, at + 2, 2);
        if (word(tiff, at + 4, 4) != 1) return 1;
        if (kind == 1) *value = word(tiff, at + 8, 1);
        if (kind == 3) *value = word(tiff, at + 8, 2);
        if (kind == 4) *value = word(tiff, at + 8, 4);
        if (kind == 6) *value = (int8_t)word(tiff, at + 8, 1);
        if (kind == 8) *value = (int16_t)word(tiff, at + 8, 2);
        if (kind == 9) *value = (int32_t)word(tiff, at + 8, 4);
        return 1;
    }
    return 0;
}

/* Takes orientation and position of an EXIF block after its `Exif\0\0`; 0 where it is too odd. */
static int take_exif(Bytes bytes, Header *header) {
    Tiff tiff = {bytes, starts_with(bytes, "MM", 2)};
    int64_t value, unused;
    if (starts_with(bytes, "Exif", 4)) return 0;
    if (bytes.size < 8 || (!tiff.big_endian && !starts_with(bytes, "II", 2))) return 1;
    int64_t directory = word(&tiff, 4, 4);
    find(&tiff, directory, 0x0112, &value);
    if (value >= 1 && value <= 8) header->orientation = (long)value;
    find(&tiff, directory, 0x8825, &value);
    if (value > 0) header->gps = find(&tiff, value, 2, &unused) || find(&tiff, value, 4, &unused);
    return 1;
}

static int take_frame(const uint8_t *frame, Header *header) {
    header->height = frame[1] << 8 | frame[2];
    header->width = frame[3] << 8 | frame[4];
    header->channels = frame[5];
    return frame[0] == 8 && header->width && header->height && (header->channels == 1 || header->channels == 3);
}

static int is_frame(int marker) {
    return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
}

/* Takes an APP1 segment's content; 0 where only the reader in Python knows what it means. */
static int take_app1(Bytes body, Header *header, int *has_exif, int *has_xmp) {
    if (starts_with(body, "Exif\0\0", 6)) {
        if (*has_exif) return 0;
        *has_exif = 1;
        return take_exif((Bytes){body.at + 6, body.size - 6}, header);
    }
    if (starts_with(body, "http://ns.adobe.com/xap/1.0/\0", 29)) {
        if (contains(body, "exif:GPS")) return 0;
        *has_xmp = *has_xmp || contains(body, "tiff:Orientation");
    }
    return 1;
}

/* Reads the header of a JPEG of `size` bytes; 0 where it is none, or not a usual one. */
static int take_jpeg(File *file, int64_t offset, int64_t size, Header *header) {
    int has_exif = 0, has_xmp = 0, has_frame = 0;
    int64_t at = 2;
    memset(header, 0, sizeof *header);
    const uint8_t *bytes = size >= 4 ? see(file, offset, 4) : NULL;
    if (!bytes || bytes[0] != 0xFF || bytes[1] != 0xD8 || bytes[2] != 0xFF) return 0;
    for (int number = 0; number < SEGMENTS; number++) {
        bytes = at <= size - 4 ? see(file, offset + at, 4) : NULL;
        if (!bytes || bytes[0] != 0xFF) return 0;
        int marker = bytes[1], length = bytes[2] << 8 | bytes[3];
        if (marker == 0xDA) return has_frame && (header->orientation || !has_xmp);
        if (marker <= 1 || marker == 0xFF || (marker >= 0xD0 && marker <= 0xD9)) return 0;
        if (length < 2 || length > size - at - 2) return 0;
        Bytes body = {NULL, length - 2};
        if (marker == 0xE1 || (is_frame(marker) && !has_frame)) {
            body.at = see(file, offset + at + 4, body.size);
            if (!body.at) return 0;
        }
        if (marker == 0xE1 && !take_app1(body, header, &has_exif, &has_xmp)) return 0;
        if (is_frame(marker) && !has_frame) {
            if (body.size < 6 || !take_frame(body.at, header)) return 0;
            has_frame = 1;
        }
        at += 2 + length;
    }
    return 0;
}

/* ------------------------------------------------------------------ samples */

typedef struct {
    const char *images; /* their extensions: |jpg|png| */
    int64_t max_pixels;
    int64_t sidecar_bytes; /* taken so far */
} Order;

static int is_image(const Member *member, const Order *order) {
    char name[EXTENSION_BYTES + 3];
    int size = member->name_size - member->stem_size; /* with the dot */
    name[0] = '|';
    memcpy(name + 1, member->name + member->stem_size + 1, (size_t)(size - 1));
    name[size] = '|';
    name[size + 1] = 0;
    return strstr(order->images, name) != NULL;
}

/* Adds (extension, content) of a member to a list; 0 where it is too large for here, or with an error set. */
static int add_sidecar(File *file, const Member *member, PyObject *sidecars, Order *order) {
    const uint8_t *content = member->size <= SIDECAR_BYTES ? see(file, member->offset, member->size) : NULL;
    if (!content) return 0;
    PyObject *pair = Py_BuildValue("(s#y#)", member->name + member->stem_size + 1,
                                   (Py_ssize_t)(member->name_size - member->stem_size - 1), (const char *)content,
                                   (Py_ssize_t)member->size);
    int done = pair && !PyList_Append(sidecars, pair);
    Py_XDECREF(pair);
    order->sidecar_bytes += member->size;
    return done;
}

/* Returns (member, key, offset, size, width, height, orientation, color, gps, sidecars, whether all is in there). */
static PyObject *sample_of(const Member *image, const Header *header, PyObject *sidecars, int is_simple) {
    int turned = header->orientation >= 5; /* these swap width and height */
    return Py_BuildValue("(s#s#LLlllsNON)", image->name, (Py_ssize_t)image->name_size, image->name,
                         (Py_ssize_t)image->stem_size, (long long)image->offset, (long long)image->size,
                         turned ? header->height : header->width, turned ? header->width : header->height,
                         header->orientation ? header->orientation : 1L, header->channels == 1 ? "gray" : "rgb",
                         PyBool_FromLong(header->gps), sidecars, PyBool_FromLong(header->width && is_simple));
}

/* Reads the header of a sample's image; where it is not a usual one, or tells of too many pixels, the width is 0. */
static void take_image(File *file, const Member *image, const Order *order, Header *header) {
    if (!take_jpeg(file, image->offset, image->size, header) ||
        (int64_t)header->width * header->height > order->max_pixels)
        memset(header, 0, sizeof *header);
}

/* Returns the sample that begins at `next`, and moves that to the next sample's first member (`kind`: MEMBER or END).
 * NULL where it is not plain, or with an error set. */
static PyObject *take_sample(File *file, Member *next, int *kind, Order *order) {
    Member image, first = *next;
    Header header;
    PyObject *sample = NULL, *sidecars = PyList_New(0);
    int images = 0, others = 0, texts = 0, plain = sidecars != NULL;
    *kind = MEMBER;
    for (int number = 0; plain && *kind == MEMBER && same_stem(&first, next); number++) {
        if (is_image(next, order)) {
            plain = !images++ && number < MEMBERS;
            image = *next;
            take_image(file, &image, order, &header);
        } else {
            plain = number < MEMBERS && add_sidecar(file, next, sidecars, order);
            others++;
            texts += !strcmp(next->name + next->stem_size, ".txt");
        }
        if (plain) *kind = next_member(file, next->offset + padded(next->size), next);
        plain = plain && *kind != UNUSUAL;
    }
    if (plain && images) sample = sample_of(&image, &header, sidecars, others == texts && texts < 2);
    Py_XDECREF(sidecars);
    return sample;
}

/* Fills a list with plain samples from `position` on; returns where the first member after them begins. */
static int64_t fill(File *file, int64_t position, const char *open, Py_ssize_t open_size, Order *order, long most,
                    PyObject *samples) {
    Member next;
    int kind = next_member(file, position, &next);
    if (kind == MEMBER && next.stem_size == open_size && !memcmp(next.name, open, (size_t)open_size)) return position;
    while (kind == MEMBER && PyList_Size(samples) < most && order->sidecar_bytes < BATCH_BYTES) {
        PyObject *sample = take_sample(file, &next, &kind, order);
        if (!sample || PyList_Append(samples, sample)) kind = UNUSUAL;
        else position = next.start;
        Py_XDECREF(sample);
    }
    return position;
}

/* Returns (where the first member begins that was not taken, samples). */
static PyObject *walk(File *file, int64_t position, const char *open, Py_ssize_t open_size, Order *order, long most) {
    PyObject *samples = PyList_New(0), *result = NULL;
    if (samples) position = fill(file, position, open, open_size, order, most, samples);
    if (samples && !PyErr_Occurred()) result = Py_BuildValue("(LO)", (long long)position, samples);
    Py_XDECREF(samples);
    return result;
}

static PyObject *py_samples(PyObject *self, PyObject *args) {
    File file = {0};
    Order order = {0};
    const char *open;
    Py_ssize_t open_size;
    long long position, end, max_pixels;
    long most;
    (void)self;
    if (!PyArg_ParseTuple(args, "iLLs#sLl:samples", &file.fd, &position, &end, &open, &open_size, &order.images,
                          &max_pixels, &most))
        return NULL;
    file.end = end;
    file.held = file.buffer = PyMem_Malloc(BUFFER_BYTES);
    if (!file.buffer) return PyErr_NoMemory();
    order.max_pixels = max_pixels;
    PyObject *result = walk(&file, position, open, open_size, &order, most);
    PyMem_Free(file.buffer);
    return result;
}

static PyObject *py_samples_in(PyObject *self, PyObject *args) {
    File file = {.fd = -1};
    Order order = {0};
    const char *piece, *open;
    Py_ssize_t piece_size, open_size;
    long long start, position, end, max_pixels;
    long most;
    (void)self;
    if (!PyArg_ParseTuple(args, "y#LLLs#sLl:samples_in", &piece, &piece_size, &start, &position, &end, &open,
                          &open_size, &order.images, &max_pixels, &most))
        return NULL;
    file.end = end;
    file.start = start;
    file.have = piece_size;
    file.held = (const uint8_t *)piece;
    order.max_pixels = max_pixels;
    return walk(&file, position, open, open_size, &order, most);
}

static PyMethodDef methods[] = {
    {"samples", py_samples, METH_VARARGS,
     "samples(descriptor, position, end, open_key, images, max_pixels, most) -> (position after them, samples)"},
    {"samples_in", py_samples_in, METH_VARARGS,
     "samples_in(piece, start, position, end, open_key, images, max_pixels, most) -> as samples, of a file's piece"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_walk", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__walk(void) { return PyModule_Create(&module); }
