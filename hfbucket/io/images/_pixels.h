/* The memory of Pillow's images, four bytes a pixel, which it shares by the Arrow C data interface
 * (arrow.apache.org/docs/format/CDataInterface.html). */
#ifndef HFBUCKET_PIXELS_H
#define HFBUCKET_PIXELS_H

#include <Python.h>

#include <stdint.h>

#define PIXEL 4

struct ArrowArray {
    int64_t length, null_count, offset, n_buffers, n_children;
    const void **buffers;
    struct ArrowArray **children, *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

/* Returns the pixels of an array of `pixels` times four bytes, flat or in lists of four; NULL with an error set. */
static const uint8_t *pixels_of(PyObject *capsule, int64_t pixels) {
    struct ArrowArray *array = PyCapsule_GetPointer(capsule, "arrow_array");
    if (!array) return NULL;
    int64_t length = pixels * PIXEL, offset = array->offset;
    if (array->n_children == 1) {
        offset = offset * PIXEL + array->children[0]->offset;
        length = array->length == pixels ? length : -1;
        array = array->children[0];
    }
    if (array->n_buffers != 2 || array->length != length || !array->buffers[1]) {
        PyErr_SetString(PyExc_ValueError, "the array must have four bytes for each pixel of the image");
        return NULL;
    }
    return (const uint8_t *)array->buffers[1] + offset;
}

#endif
