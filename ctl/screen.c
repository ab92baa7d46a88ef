/* The screen of `mirectl top`: draws pictures and takes keys, until it is left with q. If mired
 * goes away, the last line but one says so, and mirectl asks again. The selection stays on its
 * client when the order changes. */
#include "screen.h"

#include <curses.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "control/commands.h"
#include "picture.h"
#include "show.h"

enum { CHANGE_WAIT_MS = 10000, TABLE_AT = PICTURE_LINES + 1, BELOW = 2, ADDRESS_ROOM = 64 };

struct screen {
    const struct options *options;
    struct top_options top;
    struct picture picture;
    char selected[ADDRESS_ROOM]; /* empty: the first */
    int first;                   /* row at the top of the table */
    char said[512];              /* what the last key did */
    bool over;
};

static const char *address_at(const struct screen *s, int row)
{
    const json_t *list = json_object_get(s->picture.clients, "clients");
    const char *address =
        json_string_value(json_object_get(json_array_get(list, (size_t)row), "address"));

    return address ? address : "";
}

static int row_count(const struct screen *s)
{
    return (int)json_array_size(json_object_get(s->picture.clients, "clients"));
}

static int selected_row(const struct screen *s)
{
    for (int row = 0; row < row_count(s); row++)
        if (strcmp(address_at(s, row), s->selected) == 0)
            return row;
    return 0;
}

static void select_row(struct screen *s, int row)
{
    if (row >= row_count(s))
        row = row_count(s) - 1;
    snprintf(s->selected, sizeof s->selected, "%s", row < 0 ? "" : address_at(s, row));
}

/* ---- drawing ---- */

static int table_height(void)
{
    int height = LINES - TABLE_AT - 1 - BELOW;
    return height > 1 ? height : 1;
}

static void put(int y, int attributes, const char *text)
{
    attrset(attributes);
    mvaddnstr(y, 0, text, COLS);
    clrtoeol();
}

static void draw_table(struct screen *s)
{
    int height = table_height(), selected = selected_row(s);
    char row[PICTURE_WIDTH * 2];

    if (selected < s->first)
        s->first = selected;
    if (selected >= s->first + height)
        s->first = selected - height + 1;
    const json_t *list = json_object_get(s->picture.clients, "clients");
    for (int i = 0, at = s->first; i < height && at < row_count(s); i++, at++) {
        show_client_row(json_array_get(list, (size_t)at), row, sizeof row);
        put(TABLE_AT + 1 + i, at == selected ? A_REVERSE : A_NORMAL, row);
    }
}

static void draw(struct screen *s)
{
    char line[PICTURE_LINES][PICTURE_WIDTH], keys[PICTURE_WIDTH];

    erase();
    if (s->picture.status) {
        picture_lines(&s->picture, line);
        for (int i = 0; i < PICTURE_LINES; i++)
            put(i, i ? A_NORMAL : A_BOLD, line[i]);
        put(TABLE_AT, A_BOLD | A_UNDERLINE, show_client_title());
        draw_table(s);
    }
    put(LINES - 2, A_BOLD, s->picture.exit_status == CTL_DONE ? s->said : s->picture.error);
    snprintf(keys, sizeof keys,
             "q quit  up/down select  r release  e exempt for a day  s sort (%s)",
             picture_sorts[s->top.sort]);
    put(LINES - 1, A_DIM, keys);
    refresh();
}

/* ---- keys ---- */

static void keep_text(json_t *line, void *arg)
{
    struct screen *s = arg;
    const char *text = json_string_value(json_object_get(line, "text"));

    snprintf(s->said, sizeof s->said, "%s", text ? text : "done");
}

static void change(struct screen *s, const char *command, json_t *args)
{
    struct link l;

    if (!*s->selected) {
        snprintf(s->said, sizeof s->said, "there is no client to %s", command);
    } else if (link_ask(&l, s->options->socket, command, args, CHANGE_WAIT_MS, keep_text, s) !=
               CTL_DONE) {
        snprintf(s->said, sizeof s->said, "%.500s", l.error);
    }
    json_decref(args);
}

static void key_release(struct screen *s)
{
    change(s, "release", json_pack("{s:s}", "address", s->selected));
}

static void key_exempt(struct screen *s)
{
    change(s, "exempt", json_pack("{s:s, s:s}", "address", s->selected, "for", "1d"));
}

static void key_sort(struct screen *s)
{
    s->top.sort = (s->top.sort + 1) % PICTURE_SORTS;
    snprintf(s->said, sizeof s->said, "sorted by %s", picture_sorts[s->top.sort]);
    s->selected[0] = '\0';
}

static void key_up(struct screen *s)
{
    int row = selected_row(s);
    select_row(s, row > 0 ? row - 1 : 0);
}

static void key_down(struct screen *s)
{
    select_row(s, selected_row(s) + 1);
}

static void key_quit(struct screen *s)
{
    s->over = true;
}

static const struct {
    int key;
    void (*run)(struct screen *s);
    bool fresh; /* a new picture is due at once */
} keys[] = {{'q', key_quit, false}, {'r', key_release, true},   {'e', key_exempt, true},
            {'s', key_sort, true},  {'k', key_up, false},       {KEY_UP, key_up, false},
            {'j', key_down, false}, {KEY_DOWN, key_down, false}};

/* True when a new picture is due. */
static bool take_key(struct screen *s, int key)
{
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (keys[i].key == key) {
            keys[i].run(s);
            return keys[i].fresh;
        }
    return key == ERR; /* the time between two pictures is over */
}

/* ---- the whole ---- */

static void follow(struct screen *s)
{
    uint64_t due = clock_mono_ms() + (uint64_t)s->top.interval_ms;

    select_row(s, 0);

    while (!s->over) {
        uint64_t now = clock_mono_ms();
        if (now >= due) {
            picture_take(&s->picture, s->options, picture_sorts[s->top.sort], s->top.limit);
            if (!*s->selected)
                select_row(s, 0);
            now = clock_mono_ms();
            due = now + (uint64_t)s->top.interval_ms;
        }
        draw(s);
        timeout((int)(due - now));
        if (take_key(s, getch()))
            due = 0;
    }
}

int screen_run(const struct options *o, const struct top_options *t)
{
    struct screen *s = calloc(1, sizeof *s);

    if (!s)
        return report(o, CTL_REFUSED, CONTROL_REFUSED, "not enough memory");
    s->options = o;
    s->top = *t;
    int status = picture_take(&s->picture, o, picture_sorts[t->sort], t->limit);
    SCREEN *terminal = status == CTL_DONE ? newterm(NULL, stdout, stdin) : NULL;
    if (!terminal) {
        if (status != CTL_DONE)
            report(o, status, s->picture.code, "%s", s->picture.error);
        picture_drop(&s->picture);
        free(s);
        return status != CTL_DONE ? status : -1;
    }
    cbreak();
    noecho();
    curs_set(0);
    keypad(stdscr, TRUE);
    follow(s);
    endwin();
    delscreen(terminal);
    picture_drop(&s->picture);
    free(s);
    return CTL_DONE;
}
