/* SPDX-License-Identifier: MIT */
/*
 * cli_admin.c - commands that the daemon carries out: connect to the admin socket, read its
 * greeting, send one line of words, print the framed answer. The form is in docs/protocol.md.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli.h"

enum {
    LINE_MAX_BYTES = 64 << 10,
    HEAD_MAX_BYTES = 128,
    ANSWER_MAX_BYTES = 256 << 20,
    SILENCE_MAX_S = 60
};

static const char greeting_wanted[] = "augury-admin/1";

/* ---- words to a line ------------------------------------------------------------------------- */

/* A word of plain characters as it is, any other in double quotes with \" \\ \n \t. */
static void
put_word(struct buf *line, const char *word)
{
    size_t plain = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-_.,:;@#/+=*?%!()[]{}<>|&~^$");

    if (*word != '\0' && word[plain] == '\0') {
        buf_put_text(line, word);
        return;
    }
    buf_put_u8(line, '"');
    for (; *word != '\0'; word++) {
        if (*word == '"' || *word == '\\') {
            buf_put_u8(line, '\\');
            buf_put_u8(line, (uint8_t)*word);
        } else if (*word == '\n' || *word == '\t') {
            buf_put_text(line, *word == '\n' ? "\\n" : "\\t");
        } else {
            buf_put_u8(line, (uint8_t)*word);
        }
    }
    buf_put_u8(line, '"');
}

static int
put_line(const struct cli *cli, int argc, const char *const *argv, struct buf *line)
{
    for (int i = 0; i < argc; i++) {
        if (i > 0) {
            buf_put_u8(line, ' ');
        }
        put_word(line, argv[i]);
    }
    if (cli->is_json) {
        buf_put_text(line, " -j");
    }
    buf_put_u8(line, '\n');
    return buf_finish(line);
}

/* ---- the socket ------------------------------------------------------------------------------ */

static int
connect_failed(const char *path)
{
    if (errno == EACCES || errno == EPERM) {
        fprintf(stderr, "augury: %s: no right to the admin socket\n", path);
        return CLI_DENIED;
    }
    if (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR) {
        fprintf(stderr, "augury: auguryd is not running (nothing listens at %s)\n", path);
        return CLI_NOT_RUNNING;
    }
    fprintf(stderr, "augury: %s: %s\n", path, strerror(errno));
    return CLI_FAILED;
}

/* A connected descriptor; -1 with errno. */
static int
socket_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval silence = {.tv_sec = SILENCE_MAX_S};
    size_t len = strlen(path);

    if (len >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, len);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof(silence));
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* CLI_OK and a connected descriptor, or the exit status after a message. */
static int
admin_connect(const char *path, int *out_fd)
{
    int fd = socket_connect(path);

    if (fd < 0 && errno == ENAMETOOLONG) {
        fprintf(stderr, "augury: %s: longer than a socket's name may be\n", path);
        return CLI_FAILED;
    }
    if (fd < 0) {
        return connect_failed(path);
    }
    *out_fd = fd;
    return CLI_OK;
}

bool
cli_admin_is_there(const struct conf *conf)
{
    int fd = socket_connect(conf->admin.socket);

    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

static bool
send_all(int fd, struct bytes line)
{
    while (line.len > 0) {
        ssize_t sent = send(fd, line.data, line.len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent <= 0) {
            return false;
        }
        line = bytes_of(line.data + sent, line.len - (size_t)sent);
    }
    return true;
}

/* One line without its newline, read byte by byte so that nothing after it is taken. */
static bool
read_line(FILE *stream, char *out_line)
{
    size_t len = 0;
    int c;

    while ((c = fgetc(stream)) != EOF && c != '\n') {
        if (len + 1 == HEAD_MAX_BYTES) {
            return false;
        }
        out_line[len++] = (char)c;
    }
    out_line[len] = '\0';
    return c == '\n';
}

static int
broken_answer(void)
{
    fputs("augury: the daemon ended the connection, or was silent for 60 s\n", stderr);
    return CLI_FAILED;
}

/* "OK 0 123" or "ERR -9 45", and as many bytes. */
static int
read_answer(FILE *stream, struct buf *body, int *out_code, bool *out_is_ok)
{
    char head[HEAD_MAX_BYTES];
    char word[8];
    int code;
    unsigned long len;

    if (!read_line(stream, head)) {
        return broken_answer();
    }
    if (sscanf(head, "%7s %d %lu", word, &code, &len) != 3 || len > ANSWER_MAX_BYTES) {
        fprintf(stderr, "augury: the daemon's answer makes no sense: \"%s\"\n", head);
        return CLI_FAILED;
    }
    uint8_t *room = buf_reserve(body, len);
    if (room == NULL || fread(room, 1, len, stream) != len) {
        return broken_answer();
    }
    buf_commit(body, len);
    *out_code = code;
    *out_is_ok = strcmp(word, "OK") == 0;
    return CLI_OK;
}

/* A command that ran answers with an exit status; the socket's own refusals are codes of enum
 * augury_err. */
static int
status_of(int code)
{
    if (code == AUGURY_ERR_DENIED) {
        return CLI_DENIED;
    }
    return code == CLI_USAGE || code == CLI_DENIED ? code : CLI_FAILED;
}

static int
print_answer(struct bytes body, int code, bool is_ok)
{
    bool ends_well = body.len > 0 && body.data[body.len - 1] == '\n';

    if (is_ok) {
        int status = cli_print(body);
        return status == CLI_OK && !ends_well && body.len > 0 ? cli_print(bytes_of_text("\n"))
                                                              : status;
    }
    fprintf(stderr, "augury: %.*s%s", (int)body.len, (const char *)body.data,
            ends_well ? "" : "\n");
    return status_of(code);
}

static int
converse(int fd, FILE *stream, struct bytes line, struct buf *body)
{
    char greeting[HEAD_MAX_BYTES];
    int code = 0;
    bool is_ok = false;

    if (!read_line(stream, greeting)) {
        return broken_answer();
    }
    if (strncmp(greeting, greeting_wanted, sizeof(greeting_wanted) - 1) != 0) {
        fprintf(stderr, "augury: the daemon speaks \"%s\", this program \"%s\"\n", greeting,
                greeting_wanted);
        return CLI_FAILED;
    }
    if (!send_all(fd, line)) {
        return broken_answer();
    }
    int status = read_answer(stream, body, &code, &is_ok);
    return status == CLI_OK ? print_answer(buf_view(body), code, is_ok) : status;
}

static int
ask(const char *path, struct bytes line)
{
    struct buf body;
    int fd = -1;
    int status = admin_connect(path, &fd);

    if (status != CLI_OK) {
        return status;
    }
    FILE *stream = fdopen(fd, "r");
    if (stream == NULL) {
        close(fd);
        return connect_failed(path);
    }
    buf_init(&body, ANSWER_MAX_BYTES);
    status = converse(fd, stream, line, &body);
    buf_fini(&body);
    fclose(stream);
    return status;
}

/* ---- the command ----------------------------------------------------------------------------- */

/* What can be said without asking the daemon. */
static int
check_words(const struct cli_command *command, int argc, const char *const *argv)
{
    bool is_fast_stop =
        strcmp(command->name, "stop") == 0 && argc == 2 && strcmp(argv[1], "fast") == 0;

    if (strcmp(command->name, "resize") == 0) {
        return argc == 2 ? CLI_OK : cli_usage(command, "one size, or auto", "");
    }
    return argc == 1 || is_fast_stop ? CLI_OK : cli_usage(command, "one word too many: ", argv[1]);
}

int
cli_admin_ask(const struct cli *cli, const struct cli_command *command, int argc,
              const char *const *argv)
{
    struct conf *conf = NULL;
    struct buf line;

    if (cli_conf_load(cli, &conf) != 0) {
        return CLI_FAILED;
    }
    buf_init(&line, LINE_MAX_BYTES);
    int status = put_line(cli, argc, argv, &line) == 0
                     ? ask(conf->admin.socket, buf_view(&line))
                     : cli_usage(command, "the words are longer than 64 KiB", "");
    buf_fini(&line);
    conf_free(&conf);
    return status;
}

int
cli_admin(const struct cli *cli, const struct cli_command *command, int argc,
          const char *const *argv)
{
    int status = check_words(command, argc, argv);

    return status == CLI_OK ? cli_admin_ask(cli, command, argc, argv) : status;
}
