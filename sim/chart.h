/* Curves as SVG, both axes logarithmic, readable in light and dark. */
#ifndef MIRED_SIM_CHART_H
#define MIRED_SIM_CHART_H

#include <stdbool.h>
#include <stddef.h>

enum { CHART_POINTS = 8, CHART_CURVES = 4 };

struct chart {
    const char *title, *x_title, *y_title;
    double x_least, x_most, y_least, y_most; /* powers of ten */
    size_t points, curves;
    double x[CHART_POINTS];
    const char *name[CHART_CURVES];
    double y[CHART_CURVES][CHART_POINTS]; /* what is below y_least is drawn there */
};

/* Writes FOLDER/NAME.svg; false when it cannot be written. */
bool chart_write(const struct chart *c, const char *folder, const char *name);

#endif
