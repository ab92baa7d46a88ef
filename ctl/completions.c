/* Writes the shells' completions of mirectl: `completions bash|zsh`, at build time, from the same
 * table as help. It reads the arguments of a command in the form of the table: words after dashes
 * are options, "a|b|c" after one of them is a choice, FILE is a file, and lower case is a word to
 * type. */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "about.h"

enum { TOKENS_MAX = 32, TOKEN_MAX = 64 };

struct tokens {
    char at[TOKENS_MAX][TOKEN_MAX];
    int count;
};

/* Words of "[--sort held|offences|good] | --list", without brackets and lonely bars. */
static void split(const char *arguments, struct tokens *t)
{
    t->count = 0;
    while (*arguments && t->count < TOKENS_MAX) {
        arguments += strspn(arguments, " []");
        size_t len = strcspn(arguments, " []");
        if (len && len < TOKEN_MAX && !(len == 1 && *arguments == '|'))
            snprintf(t->at[t->count++], TOKEN_MAX, "%.*s", (int)len, arguments);
        arguments += len;
    }
}

static bool is_option(const char *token)
{
    return token[0] == '-';
}

static bool is_word(const char *token)
{
    return islower((unsigned char)token[0]) &&
           strspn(token, "abcdefghijklmnopqrstuvwxyz|") == strlen(token);
}

static bool is_file(const char *token)
{
    return strcmp(token, "FILE") == 0;
}

/* The value of the option at i; NULL if it is a flag. This is why a command's own words must come
 * before its flags. */
static const char *value_of(const struct tokens *t, int i)
{
    if (i + 1 == t->count || is_option(t->at[i + 1]))
        return NULL;
    return t->at[i + 1];
}

/* "a|b|c" as "a b c". */
static void print_choice(const char *choice)
{
    for (; *choice; choice++)
        putchar(*choice == '|' ? ' ' : *choice);
}

/* ---- bash ---- */

static void bash_command(const struct control_about *about)
{
    struct tokens t;
    bool file = false;

    split(about->arguments, &t);
    for (int i = 0; i < t.count; i++) {
        const char *value = is_option(t.at[i]) ? value_of(&t, i) : NULL;
        if (!value)
            continue;
        printf("    %s:%s) ", about->name, t.at[i]);
        if (is_file(value))
            puts("files=1 ;;");
        else {
            printf("words=\"");
            print_choice(is_word(value) ? value : "");
            puts("\" ;;");
        }
    }
    printf("    %s:*) words=\"", about->name);
    for (int i = 0; i < t.count; i++) {
        if (is_option(t.at[i])) {
            printf("%s ", t.at[i]);
            i += value_of(&t, i) != NULL;
        } else if (is_word(t.at[i])) {
            print_choice(t.at[i]);
            putchar(' ');
        } else {
            file |= is_file(t.at[i]);
        }
    }
    printf("--json --help\"%s ;;\n", file ? " files=1" : "");
}

static void bash(void)
{
    puts("# bash completion of mirectl(8); made of the table of its commands.\n"
         "_mirectl() {\n"
         "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
         "    local command= words= files= i\n"
         "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
         "        case ${COMP_WORDS[i]} in\n"
         "        -s) ((i++)) ;;\n"
         "        -*) ;;\n"
         "        *) command=${COMP_WORDS[i]}; break ;;\n"
         "        esac\n"
         "    done\n"
         "    case $command:$prev in\n"
         "    :-s) files=1 ;;");
    printf("    :*) words=\"");
    for (int i = 0; i < ABOUT_COUNT; i++)
        printf("%s ", about_at(i)->name);
    puts("help -s --json --help --version\" ;;");
    for (int i = 0; i < ABOUT_COUNT; i++)
        bash_command(about_at(i));
    puts("    esac\n"
         "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
         "    [ -z \"$files\" ] || COMPREPLY+=($(compgen -f -- \"$cur\"))\n"
         "}\n"
         "complete -o filenames -F _mirectl mirectl");
}

/* ---- zsh ---- */

/* Prints text that is inside '...' and before a colon. */
static void zsh_text(const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (strchr(":[]\\", *text))
            printf("\\%c", *text);
        else
            putchar(*text);
    }
}

static void zsh_action(const char *value)
{
    if (is_file(value))
        printf("_files");
    else if (is_word(value)) {
        putchar('(');
        print_choice(value);
        putchar(')');
    }
}

static void zsh_command(const struct control_about *about)
{
    struct tokens t;
    int place = 0;

    split(about->arguments, &t);
    printf("        %s) _arguments", about->name);
    for (int i = 0; i < t.count; i++) {
        const char *value = is_option(t.at[i]) ? value_of(&t, i) : NULL;
        if (value) {
            printf(" '%s:", t.at[i]);
            zsh_text(value);
            putchar(':');
            zsh_action(value);
            printf("'");
            i++;
        } else if (is_option(t.at[i])) {
            printf(" '%s'", t.at[i]);
        } else if (!place || is_file(t.at[i])) {
            printf(" '%d:", ++place);
            zsh_text(t.at[i]);
            putchar(':');
            if (is_word(t.at[i])) /* all such words stand at this place */
                putchar('(');
            for (int k = i; is_word(t.at[i]) && k < t.count; k++)
                if (is_word(t.at[k]))
                    printf("%s%s", k > i ? " " : "", t.at[k]);
            if (is_word(t.at[i]))
                putchar(')');
            else
                zsh_action(t.at[i]);
            printf("'");
        }
    }
    puts(" '--json' '--help' ;;");
}

static void zsh(void)
{
    puts("#compdef mirectl\n# zsh completion of mirectl(8); made of the table of its commands.\n"
         "_mirectl() {\n"
         "    local state\n"
         "    local -a commands=(");
    for (int i = 0; i < ABOUT_COUNT; i++) {
        printf("        '%s:", about_at(i)->name);
        zsh_text(about_at(i)->help);
        puts("'");
    }
    puts("    )\n"
         "    _arguments -C '-s:control socket:_files' '--json' '--help' '--version' \\\n"
         "        '1:command:->command' '*::argument:->argument'\n"
         "    case $state in\n"
         "    command) _describe command commands ;;\n"
         "    argument)\n"
         "        case $words[1] in");
    for (int i = 0; i < ABOUT_COUNT; i++)
        zsh_command(about_at(i));
    puts("        esac ;;\n"
         "    esac\n"
         "}\n"
         "_mirectl \"$@\"");
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "bash") == 0)
        bash();
    else if (argc == 2 && strcmp(argv[1], "zsh") == 0)
        zsh();
    else
        return fputs("usage: completions bash|zsh\n", stderr) < 0 ? 1 : 2;
    return 0;
}
