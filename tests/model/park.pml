/*
 * park.pml: counted sleepers, so that wakers make no system call when there are none.
 *
 * Mirrors   src/sync/park.h    mp__park_register, mp__park_wake_one
 *           src/sync/park.c    mp__park, mp__park_leave, mp__park_wake_one_slow, mp__park_wake_all
 *           and their users' way with them: wait_for_room() and wait_for_message() of
 *           src/queue/ring.c, the waits of src/pool
 * Points    queue.put.commit and queue.get.consume, of a count of units
 *
 * Always    (wakes) without deaths nobody sleeps while a unit is there that nobody is about to take,
 *           though waiters give up, leave by themselves, and sleep again meanwhile
 *           (heals) with deaths of waiters and publishers at any step, when slices end, everybody
 *           who lives comes through
 *           whoever takes a registration off owes a wake-up: registrations and wake-ups under way
 *           are never fewer than those who sleep on a word that has not changed
 *
 * Waits     a waiter waits for ever, or (the first) one sleep of it may end at any step, after which it goes on
 *           or gives up.
 * System    wakes who slept first, as futexes do among threads of one priority.  If it did not,
 *           (wakes) would fail: the one woken would leave in the name of another.
 * Memory    publishing goes through a store buffer, which the fence empties: mp__park_wake_one needs
 *           it.  All else is sequentially consistent, as the instructions used are.
 *
 * check   wakes:       -DWAITERS=3 -DUNITS=3 -DPUBLISHERS=1
 * check   wakes-two:   -DWAITERS=2 -DUNITS=3 -DPUBLISHERS=2
 * check   wakes-all:   -DWAITERS=2 -DUNITS=2 -DPUBLISHERS=1 -DALL
 * check   heals:       -DWAITERS=2 -DUNITS=3 -DPUBLISHERS=2 -DKILLS=1 -DSLICES=1
 *
 * broken  no test between registering and sleeping:  -DWAITERS=2 -DUNITS=2 -DPUBLISHERS=1 -DBREAK_RETEST
 * broken  it sleeps whatever the word is:            -DWAITERS=2 -DUNITS=2 -DPUBLISHERS=1 -DBREAK_WORD
 * broken  the wake-up comes before publishing:       -DWAITERS=2 -DUNITS=2 -DPUBLISHERS=1 -DBREAK_ORDER
 * broken  no fence behind publishing:                -DWAITERS=2 -DUNITS=2 -DPUBLISHERS=1 -DBREAK_FENCE
 * broken  who leaves takes another's registration:   -DWAITERS=3 -DUNITS=3 -DPUBLISHERS=1 -DBREAK_LEAVE
 * broken  sleeps without slices, and a death:        -DWAITERS=2 -DUNITS=3 -DPUBLISHERS=2 -DKILLS=1
 */
#ifndef KILLS
#define KILLS 0
#endif
#ifndef SLICES
#define SLICES 0
#endif
#define N 5 /* waiters and publishers, numbered from 1 */

byte units;   /* what is waited for */
byte waiters; /* registered */
byte event;   /* the word slept on */
byte buffered[N + 1];
byte left = UNITS; /* to publish */
bool asleep[N + 1], killed[N + 1], through[N + 1];

chan line = [3] of { byte };

inline wake_one()
{
    if
    :: line ? first -> asleep[first] = false; first = 0
    :: empty(line) -> skip
    fi
}

proctype waiter(byte me)
{
    byte seen, first;
    bool timed, late;
    {
        if
        :: timed = false
        :: me == 1 -> timed = true
        fi;
again:
        atomic {
            if
            :: units > 0 -> units--; goto out
            :: units == 0 && late -> goto out
            :: units == 0
            fi;
            seen = event
        }
        waiters++; /* mp__park_register */
        atomic {
            if
#ifndef BREAK_RETEST
            :: units > 0 -> goto leave
#endif
            :: else
            fi
        }
        atomic { /* mp__park: the futex call */
            if
#ifndef BREAK_WORD
            :: event != seen -> goto leave
#endif
            :: else -> asleep[me] = true; line ! me
            fi
        }
        if
        :: !asleep[me]
        :: atomic {
               asleep[me] && timed -> asleep[me] = false; line ?? eval(me); timed = false; late = true
           }
#if SLICES == 1
        :: atomic { asleep[me] && timeout -> asleep[me] = false; line ?? eval(me) }
#endif
        fi;
leave: /* mp__park_leave */
        atomic {
            if
            :: event != seen -> goto again
            :: else
            fi
        }
        atomic {
            if
            :: waiters == 0 -> goto again
            :: else -> waiters--
            fi
        }
#ifndef BREAK_LEAVE
        atomic {
            if
            :: event == seen -> goto again
            :: else -> event++ /* it was claimed meanwhile: this one was another's */
            fi
        }
        atomic { wake_one() }
#endif
        goto again;
out:
        through[me] = true
    } unless {
        atomic {
            killed[me] ->
            if
            :: asleep[me] -> line ?? eval(me); asleep[me] = false
            :: else
            fi
        }
    }
}

/* A store buffer empties itself some time, whatever becomes of its thread. */
proctype buffer(byte who)
{
end:
    do
    :: atomic { buffered[who] > 0 -> units = units + buffered[who]; buffered[who] = 0 }
    od
}

proctype publisher(byte me)
{
    byte first;
    {
        skip;
again:
        atomic {
            if
            :: left == 0 -> goto out
            :: else -> left--
            fi;
#if !defined BREAK_ORDER && !defined BREAK_FENCE
            units++ /* with the fence, at once */
#elif defined BREAK_FENCE
            buffered[me]++
#endif
        }
#ifdef ALL
        atomic { /* mp__park_wake_all */
            if
            :: waiters == 0 -> goto next
            :: else -> waiters = 0
            fi
        }
        event++;
        atomic {
            do
            :: line ? first -> asleep[first] = false
            :: empty(line) -> first = 0; break
            od
        }
#else
        atomic { /* mp__park_wake_one */
            if
            :: waiters == 0 -> goto next
            :: else
            fi
        }
        atomic { /* mp__park_wake_one_slow: claim */
            if
            :: waiters == 0 -> goto next
            :: else -> waiters--
            fi
        }
        event++;
        atomic { wake_one() }
#endif
next:
#ifdef BREAK_ORDER
        units++;
#endif
        goto again;
out:
        through[me] = true
    } unless {
        killed[me]
    }
}

proctype killer()
{
    byte some = KILLS;
    do
    :: atomic {
           some > 0 -> some--;
           if
           :: !killed[1] && !through[1] -> killed[1] = true
           :: !killed[2] && !through[2] -> killed[2] = true
           :: !killed[4] && !through[4] -> killed[4] = true
           :: else
           fi
       }
    :: break /* no slice ends while anybody may still be killed */
    od
}

init
{
    atomic {
        run waiter(1);
        run waiter(2);
#if WAITERS > 2
        run waiter(3);
#endif
        run publisher(4);
#if PUBLISHERS > 1
        run publisher(5);
#endif
#ifdef BREAK_FENCE
        run buffer(4);
#endif
#if KILLS > 0
        run killer()
#endif
    }
}
