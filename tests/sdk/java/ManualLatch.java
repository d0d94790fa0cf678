package com.example.chat;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** In place of a `CountDownLatch`: a wait ends immediately, and only its clock goes on. */
public final class ManualLatch {
    static final List<Long> PAUSES = new ArrayList<>();
    static int stopAfter = Integer.MAX_VALUE; // pauses
    static Runnable stop;
    private long count;

    public ManualLatch(int count) {
        this.count = count;
    }

    static long passed() {
        return PAUSES.stream().mapToLong(Long::longValue).sum();
    }

    public boolean await(long milliseconds, TimeUnit unit) {
        PAUSES.add(milliseconds);
        if (PAUSES.size() == stopAfter) {
            stop.run();
        }
        if (PAUSES.size() > 1_000) {
            throw new IllegalStateException("the code waits without an end");
        }
        return count == 0;
    }

    public void countDown() {
        count = 0;
    }

    public long getCount() {
        return count;
    }
}

/** The clock of the code in this package, which needs no import for `System`. */
final class System {
    static long nanoTime() {
        return TimeUnit.MILLISECONDS.toNanos(ManualLatch.passed());
    }

    static long currentTimeMillis() {
        return java.lang.System.currentTimeMillis();
    }

    static void arraycopy(Object source, int from, Object target, int to, int length) {
        java.lang.System.arraycopy(source, from, target, to, length);
    }
}
