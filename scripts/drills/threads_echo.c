/* An echo server that measures itself: a blocking thread for each connection, and what they cost by its own reading of /proc.
 *
 * It knows nothing of brink, whose slopes the drill `slopes` holds against its own. Usage: threads_echo [STACK_BYTES]
 * It says where it listens in its first line. Whenever all open connections have been answered and none has come for some
 * milliseconds it reads proc_pid_status(5) and proc_meminfo(5): a plateau. Readings end with the first connection that goes. On SIGTERM it
 * prints the plateaus and ends; slopes are least squares through them.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PLATEAUS_MAX = 1000, CONNECTIONS_MIN = 500, LOOK_MS = 2, STILL_LOOKS = 4, MEASURES = 4 };

static const char *const names[MEASURES] = {"user_bytes", "virtual_bytes", "page_table_bytes", "kernel_stack_bytes"};

struct plateau {
    long connections;
    long bytes[MEASURES];
};

static atomic_long opened, answered, closed;
static int listener;
static pthread_attr_t attributes;

static void die(const char *what) {
    fprintf(stderr, "threads_echo: ");
    perror(what);
    _exit(1);
}

/* One connection's whole life. */
static void *converse(void *argument) {
    int connection = (int)(long)argument;
    char bytes[1024];
    bool first = true;
    ssize_t got;
    while ((got = read(connection, bytes, sizeof bytes)) > 0) {
        for (ssize_t sent = 0, more; sent < got; sent += more) {
            if ((more = write(connection, bytes + sent, (size_t)(got - sent))) < 0) goto gone;
        }
        if (first) atomic_fetch_add(&answered, 1);
        first = false;
    }
gone:
    close(connection);
    if (first) atomic_fetch_add(&answered, 1);
    atomic_fetch_add(&closed, 1);
    return NULL;
}

static void *accept_all(void *unused) {
    (void)unused;
    for (;;) {
        int connection = accept(listener, NULL, NULL), on = 1;
        if (connection < 0) die("accept");
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        atomic_fetch_add(&opened, 1);
        pthread_t thread;
        if (pthread_create(&thread, &attributes, converse, (void *)(long)connection) != 0) die("pthread_create");
    }
    return NULL;
}

/* The value of a line `NAME:   123 kB`, in bytes. */
static long field(const char *path, const char *name) {
    char line[256];
    long kib = -1;
    FILE *file = fopen(path, "r");
    if (!file) die(path);
    while (kib < 0 && fgets(line, sizeof line, file)) {
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':') kib = atol(line + strlen(name) + 1);
    }
    fclose(file);
    if (kib < 0) die(name);
    return kib * 1024;
}

static struct plateau look(long connections) {
    return (struct plateau){connections,
                            {field("/proc/self/status", "RssAnon"), field("/proc/self/status", "VmSize"),
                             field("/proc/self/status", "VmPTE"), field("/proc/meminfo", "KernelStack")}};
}

static double slope(const struct plateau *plateaus, int count, int measure) {
    double mean_x = 0, mean_y = 0, together = 0, spread = 0;
    for (int n = 0; n < count; n++) {
        mean_x += (double)plateaus[n].connections / count;
        mean_y += (double)plateaus[n].bytes[measure] / count;
    }
    for (int n = 0; n < count; n++) {
        double x = (double)plateaus[n].connections - mean_x;
        together += x * ((double)plateaus[n].bytes[measure] - mean_y);
        spread += x * x;
    }
    return spread > 0 ? together / spread : 0;
}

static void say(const struct plateau *plateaus, int count) {
    printf("{\"plateaus\": [");
    for (int n = 0; n < count; n++) printf("%s%ld", n ? ", " : "", plateaus[n].connections);
    printf("]");
    for (int measure = 0; measure < MEASURES; measure++) printf(", \"%s\": %.3f", names[measure], slope(plateaus, count, measure));
    printf("}\n");
    fflush(stdout);
}

int main(int argc, char **argv) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, NULL);

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (argc > 1 && pthread_attr_setstacksize(&attributes, (size_t)atol(argv[1])) != 0) {
        fprintf(stderr, "threads_echo: `%s` is no size of a stack\n", argv[1]);
        return 2;
    }

    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, 4096) < 0) die("listen");
    getsockname(listener, (struct sockaddr *)&address, &length);
    pthread_t acceptor;
    if (pthread_create(&acceptor, NULL, accept_all, NULL) != 0) die("pthread_create");
    printf("{\"address\": \"127.0.0.1:%d\", \"pid\": %d}\n", ntohs(address.sin_port), getpid());
    fflush(stdout);

    static struct plateau plateaus[PLATEAUS_MAX];
    int count = 0, still = 0;
    long before = 0;
    bool over = false;
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    while (sigtimedwait(&ends, NULL, &pause) != SIGTERM) {
        long gone = atomic_load(&closed), live = atomic_load(&opened) - gone;
        over = over || (count > 0 && live < plateaus[count - 1].connections);
        still = live == before && atomic_load(&answered) - gone == live ? still + 1 : 0;
        before = live;
        if (over || still < STILL_LOOKS || live < CONNECTIONS_MIN) continue;
        /* The last look at a plateau counts. */
        if (count == 0 || plateaus[count - 1].connections != live) count++;
        if (count > PLATEAUS_MAX) die("plateaus");
        plateaus[count - 1] = look(live);
    }
    say(plateaus, count);
    _exit(0);
}
