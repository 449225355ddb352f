# SPDX-License-Identifier: MIT
"""The architecture as a table: which room stands on which floor, which headers it shows, which libraries it holds.

A room may include headers of lower floors and its own, nothing else; docs/architecture.md says why.
"""

# room: (floor, headers in include/augury, third-party headers that only this room may include)
ROOMS = {
    "base": (0, ["base.h"], ["xxhash.h"]),
    "store": (1, ["store.h"], ["lmdb.h"]),
    "wire": (1, ["wire.h", "rows.h"], ["yyjson.h", "msgpack.h", "msgpack/", "libdeflate.h"]),
    "conf": (1, ["conf.h"], ["confuse.h"]),
    "stats": (1, ["stats.h", "stats_table.def"], []),
    "proc": (1, ["proc.h"], []),
    "seal": (1, ["seal.h"], ["openssl/bio.h", "openssl/crypto.h", "openssl/evp.h", "openssl/pem.h", "openssl/x509.h"]),
    "model": (2, ["model.h", "registry.h"], []),
    "cache": (2, ["cache.h", "cache_size.h", "cache_redis.h"], ["hiredis/"]),
    "net": (2, ["net.h", "http.h"], ["event2/", "event.h", "openssl/core_names.h", "openssl/err.h", "openssl/rand.h", "openssl/sha.h", "openssl/ssl.h", "wslay/"]),
    "client": (3, ["client.h"], []),
    "predict": (3, ["predict.h"], []),
    "api": (4, ["api.h", "api_keys.h"], []),
    "app": (5, [], []),
    "cli": (5, [], []),
}

# What libc, the compiler and the kernel bring; anything else in <> is a library and needs a room.
SYSTEM_HEADERS = set("""
    assert.h ctype.h dirent.h errno.h fcntl.h fenv.h float.h fnmatch.h getopt.h glob.h grp.h ifaddrs.h inttypes.h
    limits.h locale.h malloc.h math.h netdb.h paths.h poll.h pthread.h pwd.h sched.h search.h semaphore.h setjmp.h
    signal.h spawn.h stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h stdnoreturn.h
    string.h strings.h syslog.h termios.h threads.h time.h uchar.h unistd.h wchar.h
    cpuid.h immintrin.h x86intrin.h arm_neon.h
""".split())
SYSTEM_FOLDERS = ("sys/", "linux/", "netinet/", "arpa/", "net/", "asm/", "bits/")

README_HEADINGS = [
    "Purpose",
    "May use and may not",
    "Main types",
    "Life of one object",
    "Which process",
    "Invariants",
    "How to add",
    "Tests",
]


def room_of_header(name):
    """The room that shows include/augury/<name>, or None."""
    for room, (_, headers, _) in ROOMS.items():
        if name in headers:
            return room
    return None
