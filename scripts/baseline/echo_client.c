/* The floor under a load generator: one thread, one epoll, as few system calls as a message can do with.
 *
 * usage: echo_client echo|open ADDRESS PORT CONNECTIONS SECONDS PAYLOAD SOURCES [WINDOW]
 *
 * It sends brink's frames (crates/brink-wire/src/frame.rs): 40 bytes of header, then PAYLOAD bytes, so that brink's targets take them
 * and a message has as many bytes as one of `brink load --payload`. SOURCES n opens from 127.0.0.1 to 127.0.0.n in turn, 0 leaves the
 * source to the kernel; WINDOW (128) are under way at once, and a connection counts once it has echoed.
 *
 * echo: a closed loop, one message outstanding on each connection; a warm-up of a second, then SECONDS are measured.
 * open: opens all, which is what is measured, then holds them for SECONDS or until SIGTERM.
 *
 * The last thing it does is one line of JSON. Whatever fails is a line on stderr and exit code 1.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEADER_BYTES = 40, PAYLOAD_MAX = 65000, CONNECTIONS_MAX = 1000000, EVENTS_MAX = 1024, SOURCES_MAX = 250, WINDOW = 128 };

struct marks {
    double wall_s, user_s, sys_s;
};

static struct sockaddr_in server;
static int epoll, sources, connections, opened, under_way, window = WINDOW;
static int *sockets;
static uint16_t *received; /* by descriptor: bytes of the reply that came so far */
static char message[HEADER_BYTES + PAYLOAD_MAX], reply[sizeof message + 1];
static size_t message_bytes;
static long messages;
static volatile sig_atomic_t told_to_end;

static void die(const char *what) {
    fprintf(stderr, "echo_client: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void refuse(const char *what) {
    fprintf(stderr, "echo_client: %s\n", what);
    exit(1);
}

static void end(int unused) {
    (void)unused;
    told_to_end = 1;
}

static double now(void) {
    struct timespec t;
    if (clock_gettime(CLOCK_MONOTONIC, &t) < 0) die("clock_gettime");
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static struct marks mark(void) {
    struct rusage used;
    if (getrusage(RUSAGE_SELF, &used) < 0) die("getrusage");
    return (struct marks){now(), (double)used.ru_utime.tv_sec + (double)used.ru_utime.tv_usec * 1e-6,
                          (double)used.ru_stime.tv_sec + (double)used.ru_stime.tv_usec * 1e-6};
}

/* Of this program alone: ru_maxrss would have what the program before execve(2) had. */
static long peak_rss_kib(void) {
    char line[256];
    long kib = -1;
    FILE *file = fopen("/proc/self/status", "r");
    if (!file) die("/proc/self/status");
    while (kib < 0 && fgets(line, sizeof line, file)) {
        if (strncmp(line, "VmHWM:", 6) == 0) kib = atol(line + 6);
    }
    if (fclose(file) != 0 || kib < 0) refuse("VmHWM is not told");
    return kib;
}

/* All fields are little-endian, and so are the machines this is for; no wait and no work is asked. */
static void make_message(uint32_t payload_bytes) {
    uint16_t header_bytes = HEADER_BYTES;
    memcpy(message, "BRNK", 4);
    message[4] = 1;
    memcpy(message + 6, &header_bytes, sizeof header_bytes);
    memcpy(message + 8, &payload_bytes, sizeof payload_bytes);
    memset(message + HEADER_BYTES, 'x', payload_bytes);
    message_bytes = HEADER_BYTES + payload_bytes;
}

static void send_message(int fd) {
    ssize_t sent = write(fd, message, message_bytes);
    if (sent < 0) die("write");
    if ((size_t)sent != message_bytes) refuse("a message did not fit into the send buffer");
}

/* Whether a whole reply is there. A stream that had less than asked for is empty, so that one read is enough (epoll(7)). */
static bool take_reply(int fd) {
    ssize_t got = read(fd, reply, message_bytes - received[fd] + 1);
    if (got < 0 && errno == EAGAIN) return false;
    if (got < 0) die("read");
    if (got == 0) refuse("the server closed a connection");
    if (received[fd] == 0 && got >= 4 && memcmp(reply, "BRNK", 4) != 0) refuse("a reply is no frame");
    size_t all = received[fd] + (size_t)got;
    if (all > message_bytes) refuse("a reply is longer than its message");
    received[fd] = (uint16_t)(all == message_bytes ? 0 : all);
    return all == message_bytes;
}

static void begin_connect(int ordinal) {
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket");
    if (sources > 0) {
        struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(ordinal % sources))};
        if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) < 0) die("IP_BIND_ADDRESS_NO_PORT");
        if (bind(fd, (struct sockaddr *)&from, sizeof from) < 0) die("bind");
    }
    if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS) die("connect");
    struct epoll_event all = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &all) < 0) die("epoll_ctl");
    sockets[ordinal] = fd;
    under_way++;
}

/* The first event of a socket that is connected is that it can be written; no other write is ever waited for. */
static void open_all(void) {
    static struct epoll_event events[EVENTS_MAX];
    static bool asked[CONNECTIONS_MAX + 1000];
    int attempted = 0;
    while (opened < connections) {
        while (attempted < connections && under_way < window) begin_connect(attempted++);
        int count = epoll_wait(epoll, events, EVENTS_MAX, 10000);
        if (count < 0) die("epoll_wait");
        if (count == 0) refuse("no connection opened for 10 s");
        for (int n = 0; n < count; n++) {
            int fd = events[n].data.fd;
            if (events[n].events & (EPOLLERR | EPOLLHUP)) {
                socklen_t length = sizeof errno;
                if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &errno, &length) < 0 || errno == 0) refuse("a connection was lost");
                die("connecting");
            }
            if (!asked[fd]) {
                asked[fd] = true;
                send_message(fd);
            } else if ((events[n].events & EPOLLIN) && take_reply(fd)) {
                opened++;
                under_way--;
            }
        }
    }
}

static void turn(struct epoll_event *events) {
    int count = epoll_wait(epoll, events, EVENTS_MAX, 10000);
    if (count < 0) die("epoll_wait");
    if (count == 0) refuse("no reply for 10 s");
    for (int n = 0; n < count; n++) {
        if (!take_reply(events[n].data.fd)) continue;
        messages++;
        send_message(events[n].data.fd);
    }
}

static void loop_until(double until) {
    static struct epoll_event events[EVENTS_MAX];
    while (now() < until) turn(events);
}

static void hold(double seconds) {
    struct epoll_event event;
    double until = now() + seconds;
    while (!told_to_end && now() < until) {
        int count = epoll_wait(epoll, &event, 1, 10);
        if (count < 0 && errno != EINTR) die("epoll_wait");
        if (count > 0 && (event.events & (EPOLLERR | EPOLLHUP))) refuse("a connection was lost");
    }
}

static void close_all(void) {
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    for (int n = 0; n < connections; n++) {
        if (setsockopt(sockets[n], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) < 0) die("SO_LINGER");
        if (close(sockets[n]) < 0) die("close");
    }
}

static long number(const char *text, long least, long most, const char *what) {
    char *rest;
    errno = 0;
    long value = strtol(text, &rest, 10);
    if (errno != 0 || *rest != '\0' || rest == text || value < least || value > most) {
        fprintf(stderr, "echo_client: `%s` is no %s from %ld to %ld\n", text, what, least, most);
        exit(2);
    }
    return value;
}

static void prepare(void) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0) die("getrlimit");
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0) die("setrlimit");
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) die("prctl");
    struct sigaction ends = {.sa_handler = end}, ignored = {.sa_handler = SIG_IGN};
    if (sigaction(SIGTERM, &ends, NULL) < 0 || sigaction(SIGPIPE, &ignored, NULL) < 0) die("sigaction");
    sockets = calloc((size_t)connections, sizeof *sockets);
    received = calloc((size_t)connections + 1000, sizeof *received);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!sockets || !received || epoll < 0) die("epoll_create1 or memory");
}

int main(int argc, char **argv) {
    if (argc < 8 || argc > 9 || (strcmp(argv[1], "echo") != 0 && strcmp(argv[1], "open") != 0)) {
        fprintf(stderr, "usage: echo_client echo|open ADDRESS PORT CONNECTIONS SECONDS PAYLOAD SOURCES [WINDOW]\n");
        return 2;
    }
    bool echo = strcmp(argv[1], "echo") == 0;
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)number(argv[3], 1, 65535, "port"))};
    if (inet_pton(AF_INET, argv[2], &server.sin_addr) != 1) refuse("the address is no IPv4 address");
    connections = (int)number(argv[4], 1, CONNECTIONS_MAX, "number of connections");
    double seconds = (double)number(argv[5], 0, 86400, "number of seconds");
    make_message((uint32_t)number(argv[6], 1, PAYLOAD_MAX, "payload"));
    sources = (int)number(argv[7], 0, SOURCES_MAX, "number of source addresses");
    if (argc > 8) window = (int)number(argv[8], 1, CONNECTIONS_MAX, "window");
    prepare();

    struct marks begun = mark();
    open_all();
    struct marks from = begun, to = mark();
    double opening_s = to.wall_s - begun.wall_s;
    if (echo) {
        for (int n = 0; n < connections; n++) send_message(sockets[n]);
        loop_until(now() + 1);
        messages = 0;
        from = mark();
        loop_until(from.wall_s + seconds);
        to = mark();
    } else {
        hold(seconds);
    }
    double user_s = to.user_s - from.user_s, sys_s = to.sys_s - from.sys_s;
    close_all();
    printf("{\"mode\": \"%s\", \"connections\": %d, \"message_bytes\": %zu, \"sources\": %d, \"window\": %d, ", argv[1], connections,
           message_bytes, sources, window);
    printf("\"opening_s\": %.6f, \"connects_per_s\": %.1f, \"messages\": %ld, \"seconds\": %.6f, ", opening_s,
           connections / opening_s, messages, to.wall_s - from.wall_s);
    printf("\"cpu_user_s\": %.6f, \"cpu_sys_s\": %.6f, ", user_s, sys_s);
    if (messages > 0) {
        printf("\"cpu_s_per_million\": %.4f, ", (user_s + sys_s) / (double)messages * 1e6);
    } else {
        printf("\"cpu_s_per_million\": null, ");
    }
    printf("\"peak_rss_kib\": %ld}\n", peak_rss_kib());
    return fflush(stdout) == 0 ? 0 : 1;
}
