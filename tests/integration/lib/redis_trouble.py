"""What happens to a Redis: each function makes a trouble, and ends it when it goes on."""


def stopped(redis):
    redis.stop()
    yield
    redis.start()


def hangs(redis):
    redis.pause()
    yield
    redis.go_on()


def emptied_twice(redis):
    redis.ask("FLUSHALL")
    yield
    redis.ask("FLUSHALL")


def full(redis):
    redis.ask("CONFIG", "SET", "maxmemory", "1000")
    yield
    redis.ask("CONFIG", "SET", "maxmemory", "0")


def replica_of_nobody(redis):
    redis.ask("REPLICAOF", "127.0.0.1", "1")
    yield
    redis.ask("REPLICAOF", "NO", "ONE")
