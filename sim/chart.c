/* Draws a chart's frame, grid, curves and names (chart.h). Text takes the page's own colour where
 * the picture stands in a page. */
#include "chart.h"

#include <math.h>
#include <stdio.h>

enum { WIDTH = 640, HEIGHT = 400, LEFT = 70, RIGHT = 150, TOP = 40, BOTTOM = 50 };

static const char *const colour[CHART_CURVES] = {"#c0392b", "#d68910", "#1e8449", "#2471a3"};

static double place(double v, double least, double most)
{
    v = v < least ? least : v > most ? most : v;
    return (log10(v) - log10(least)) / (log10(most) - log10(least));
}

static double at_x(const struct chart *c, double v)
{
    return LEFT + place(v, c->x_least, c->x_most) * (WIDTH - LEFT - RIGHT);
}

static double at_y(const struct chart *c, double v)
{
    return HEIGHT - BOTTOM - place(v, c->y_least, c->y_most) * (HEIGHT - TOP - BOTTOM);
}

static void number(FILE *f, double v)
{
    if (v >= 1e6)
        fprintf(f, "%gM", v / 1e6);
    else if (v >= 1e3)
        fprintf(f, "%gk", v / 1e3);
    else
        fprintf(f, "%g", v);
}

static void draw_grid(FILE *f, const struct chart *c)
{
    fputs("<g stroke=\"#8884\" fill=\"none\">\n", f);
    for (double v = c->x_least; v <= c->x_most * 1.01; v *= 10)
        fprintf(f, "<path d=\"M%.1f %d V%d\"/>\n", at_x(c, v), TOP, HEIGHT - BOTTOM);
    for (double v = c->y_least; v <= c->y_most * 1.01; v *= 10)
        fprintf(f, "<path d=\"M%d %.1f H%d\"/>\n", LEFT, at_y(c, v), WIDTH - RIGHT);
    fputs("</g>\n<g text-anchor=\"middle\">\n", f);
    for (double v = c->x_least; v <= c->x_most * 1.01; v *= 10) {
        fprintf(f, "<text x=\"%.1f\" y=\"%d\">", at_x(c, v), HEIGHT - BOTTOM + 16);
        number(f, v);
        fputs("</text>\n", f);
    }
    fputs("</g>\n<g text-anchor=\"end\">\n", f);
    for (double v = c->y_least; v <= c->y_most * 1.01; v *= 10) {
        fprintf(f, "<text x=\"%d\" y=\"%.1f\">", LEFT - 6, at_y(c, v) + 4);
        number(f, v);
        fputs("</text>\n", f);
    }
    fputs("</g>\n", f);
}

static void draw_titles(FILE *f, const struct chart *c)
{
    int middle = (LEFT + WIDTH - RIGHT) / 2;

    fprintf(f, "<text x=\"%d\" y=\"22\" font-size=\"15\">%s</text>\n", LEFT, c->title);
    fprintf(f, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", middle, HEIGHT - 12,
            c->x_title);
    fprintf(f,
            "<text transform=\"translate(16 %d) rotate(-90)\" text-anchor=\"middle\">%s</text>\n",
            (TOP + HEIGHT - BOTTOM) / 2, c->y_title);
}

static void draw_curve(FILE *f, const struct chart *c, size_t i)
{
    double last = c->y[i][c->points - 1];

    fprintf(f, "<g stroke=\"%s\" fill=\"none\" stroke-width=\"2\"><path d=\"", colour[i]);
    for (size_t k = 0; k < c->points; k++)
        fprintf(f, "%c%.1f %.1f ", k ? 'L' : 'M', at_x(c, c->x[k]), at_y(c, c->y[i][k]));
    fputs("\"/></g>\n", f);
    /* Curves that end near each other keep their names apart. */
    fprintf(f, "<text x=\"%d\" y=\"%.1f\" fill=\"%s\">%s</text>\n", WIDTH - RIGHT + 8,
            at_y(c, last) + 4 +
                (i == 0   ? -7
                 : i == 1 ? 7
                          : 0),
            colour[i], c->name[i]);
}

bool chart_write(const struct chart *c, const char *folder, const char *name)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s.svg", folder, name);
    FILE *f = fopen(path, "w");
    if (!f)
        return false;
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
            "font-family=\"sans-serif\" font-size=\"12\" fill=\"#777\">\n",
            WIDTH, HEIGHT);
    draw_grid(f, c);
    draw_titles(f, c);
    for (size_t i = 0; i < c->curves; i++)
        draw_curve(f, c, i);
    fputs("</svg>\n", f);
    return fclose(f) == 0;
}
