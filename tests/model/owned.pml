/*
 * owned.pml: the lock word that knows its owner.
 *
 * Mirrors   src/heap/owned.h    mp__owned_acquire (the fast CAS), mp__owned_release
 *           src/heap/owned.c    spin, mp__owned_acquire_slow, take, dead_owner_by_try
 *           src/heap/ilock.c    the dying hint around both (HINTS)
 *           Linux, exit of a thread: list_op_pending, then the zombie that others can see
 * Points    heap.owned.acquire, heap.owned.release
 * Word      owner << 2 | DIED | WAITERS.  A thread is a process of its own here, so its number says
 *           tid and identity; DIED replaces the tid only, so LOW() is what a sleeper waits on.
 *
 * Always    a word is taken when nobody holds the lock, or from one that was killed: mutual
 *           exclusion; of many takers-over one wins
 *           MP_OWNER_DIED is told exactly when the one before was killed while it held
 *           only the holder's word is released
 *           (wakes) without deaths nobody sleeps on a free lock, slices or not
 *           (heals) with deaths at any step, when slices end, everybody who lives comes through
 *
 * Deaths    KILLS processes are killed, each before any one of its steps
 * Waits     each turn waits for ever, for some time, or tries; some time may end at any step.
 *           SLICES is 0: sleeps have no end of their own; 1: they end when nothing else can happen;
 *           2: they end at any moment, as by a signal too
 *
 * check   wakes:       -DTURNS=2
 * check   heals:       -DKILLS=1 -DSLICES=1
 * check   heals-hint:  -DKILLS=2 -DSLICES=1 -DHINTS=1
 * check   excludes:    -DKILLS=2 -DSLICES=2 -DHINTS=1
 *
 * broken  taken without a compare of the whole word:  -DKILLS=1 -DSLICES=2 -DBREAK_COMPARE
 * broken  a sleeper forgets that others may sleep:    -DTURNS=2 -DBREAK_KEEP
 * broken  who gives up leaves without the bit:        -DTURNS=2 -DBREAK_GIVE_UP
 * broken  it sleeps whatever the word is:             -DTURNS=2 -DBREAK_RETEST
 * broken  the wake-up comes before the exchange:      -DTURNS=2 -DBREAK_ORDER
 * broken  sleeps without slices, and a death:         -DKILLS=1 -DSLICES=0
 * broken  a death is not told:                        -DKILLS=1 -DSLICES=1 -DBREAK_TELL
 */
#ifndef TURNS
#define TURNS 1
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef SLICES
#define SLICES 0
#endif
#ifndef HINTS
#define HINTS 0
#endif

#define N       3
#define WAITERS 1
#define DIED    2
#define MINE    (me << 2)
#define OWNER(w) ((w) >> 2)
#define LOW(w)   (((w) & DIED) -> ((w) & 3) : (w))

mtype = { FOREVER, TIMED, TRY };

byte word;
bool asleep[N + 1], killed[N + 1], dead[N + 1], hint[N + 1], through[N + 1];
byte holder; /* ghost: who holds the lock, by the words' own history */

/* The futex call wakes one sleeper; which, nobody may rely on. */
inline wake_one()
{
    if
    :: asleep[1] -> asleep[1] = false
    :: asleep[2] -> asleep[2] = false
    :: asleep[3] -> asleep[3] = false
    :: !asleep[1] && !asleep[2] && !asleep[3] -> skip
    fi
}

#ifdef BREAK_TELL
#define TOLD(seen) false
#else
#define TOLD(seen) ((seen) != 0)
#endif

/* heap.owned.acquire: a CAS that found what it expected, `seen` */
#define TAKE(fresh)                                                                                \
    assert(holder == 0 || killed[holder]);                                                         \
    assert((holder != 0) == TOLD(seen));                                                           \
    word = (fresh);                                                                                \
    holder = me;                                                                                   \
    seen = 0

/*
 * Each atomic is one access to shared memory and what the thread then thinks about it.  To see that
 * an owner is dead and the CAS are one step where the dead stay dead and the CAS looks again.
 */
proctype thread(byte me)
{
    byte seen, turn;
    mtype kind;
    {
        turn = 0;
again:
        atomic { /* mp__owned_acquire */
            seen = 0;
            if
            :: turn == TURNS -> kind = 0; through[me] = true; goto done
            :: turn < TURNS -> turn++
            fi;
            if
            :: kind = FOREVER
            :: kind = TIMED
            :: kind = TRY
            fi;
            hint[me] = HINTS;
            if
            :: word == 0 -> TAKE(MINE); goto owned
            :: word != 0 && kind == TRY -> goto loop
            :: word != 0 && kind != TRY
            fi
        }
        atomic { /* spin */
            if
            :: word == 0 -> TAKE(MINE); goto owned
            :: else
            fi
        }

loop: /* mp__owned_acquire_slow */
        atomic {
            seen = word;
            if
            :: seen == 0 || (seen & DIED) -> goto take
            :: else
            fi;
            if
            :: kind != FOREVER -> goto late
            :: kind != TRY
            fi;
            if
            :: seen & WAITERS -> goto sleep
            :: else
            fi
        }
        atomic {
            if
            :: word == seen -> word = seen | WAITERS; seen = word
            :: else -> goto loop
            fi
        }

sleep:
        atomic { /* the futex call */
            if
#ifdef BREAK_RETEST
            :: asleep[me] = true
#else
            :: LOW(word) == LOW(seen) -> asleep[me] = true
            :: else -> goto loop
#endif
            fi
        }
        if
        :: !asleep[me] -> goto loop
        :: atomic { asleep[me] && kind == TIMED -> asleep[me] = false; goto loop }
#if SLICES == 1
        :: atomic { asleep[me] && timeout -> asleep[me] = false }
#elif SLICES == 2
        :: atomic { asleep[me] -> asleep[me] = false }
#endif
        fi;
#ifdef BREAK_COMPARE
        if
        :: dead[OWNER(seen)]
        :: else -> goto loop
        fi;
        atomic { TAKE(MINE | WAITERS); goto owned }
#else
        atomic { /* the slice is over */
            if
            :: dead[OWNER(seen)] && word == seen -> TAKE(MINE | WAITERS); goto owned
            :: else -> goto loop
            fi
        }
#endif

take:
        atomic {
            if
            :: word == seen ->
#ifdef BREAK_KEEP
                TAKE(MINE);
#else
                TAKE((kind == TRY -> MINE : MINE | WAITERS));
#endif
                goto owned
            :: else -> goto loop
            fi
        }

late: /* the time is over */
        atomic {
            if
            :: dead[OWNER(seen)] && word == seen -> TAKE(MINE | WAITERS); goto owned
            :: true /* or it was seen alive a moment ago, and is not asked about */
            fi;
#ifndef BREAK_GIVE_UP
            /* Woken, and another was faster: the next sleepers' wake-up depends on the bit. */
            if
            :: kind != TRY && !(seen & WAITERS) && word != seen -> goto loop
            :: kind != TRY && !(seen & WAITERS) && word == seen -> word = seen | WAITERS
            :: else
            fi;
#endif
            hint[me] = false;
            goto again
        }

owned:
#ifdef BREAK_ORDER
        atomic {
            if
            :: word & WAITERS -> wake_one()
            :: else
            fi
        }
#endif
        atomic { /* heap.owned.release */
            assert(holder == me && OWNER(word) == me && !(word & DIED));
            seen = word;
            word = 0;
            holder = 0
        }
        atomic {
            if
#ifndef BREAK_ORDER
            :: seen & WAITERS -> wake_one()
#endif
            :: else
            fi;
            hint[me] = false;
            goto again
        }
done:
        skip
    } unless {
        killed[me] ->
        atomic { /* exit: the robust list's pending slot */
            asleep[me] = false;
            seen = 0;
            turn = 0;
            kind = 0;
            if
            :: hint[me] && OWNER(word) == me && !(word & DIED) ->
                if
                :: word & WAITERS -> word = word | DIED; wake_one()
                :: else -> word = word | DIED
                fi
            :: hint[me] && word == 0 -> wake_one()
            :: else
            fi
        }
        dead[me] = true /* and now it is a zombie, or gone */
    }
}

proctype killer()
{
    byte left = KILLS;
end:
    do
    :: atomic {
           left > 0 -> left--;
           if
           :: !killed[1] && !through[1] -> killed[1] = true
           :: !killed[2] && !through[2] -> killed[2] = true
           :: !killed[3] && !through[3] -> killed[3] = true
           :: else
           fi
       }
#if SLICES == 1
    :: break /* no slice ends while anybody may still be killed */
#endif
    od
}

init
{
    atomic {
        run thread(1);
        run thread(2);
        run thread(3);
#if KILLS > 0
        run killer()
#endif
    }
}
