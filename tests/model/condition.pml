/*
 * condition.pml: the line of waiters of a condition, and how many a notification wakes.
 *
 * Mirrors   src/sync/condition.c    line_up, sleep_in_line, give_up, go, notify, grant_first,
 *           collect, pass_on, recover; the guard is an owned word, see owned.pml
 * Points    sync.condition.register, .notify, .grant, .pass, .leave
 *
 * Always    a notification is for those in line then, the oldest first, never for a later one
 *           notify(n) wakes n of them, or as many as live, stay and are in line
 *           one that dies before its wait returns, or whose time is over, swallows nothing
 *           a notifier that dies at any step has notified nobody, or all for whom it was meant
 *
 * Three waiters come, one notification of COUNT comes at any moment.  KILLS: 1 kills a waiter, 2
 * the notifier, before any step.  The slices end when nothing else can happen.
 *
 * check   notifies-one:  -DCOUNT=1 -DTIMED
 * check   notifies-two:  -DCOUNT=2 -DTIMED
 * check   waiter-dies:   -DCOUNT=1 -DKILLS=1
 * check   another-dies:  -DCOUNT=2 -DKILLS=1
 * check   notifier-dies: -DCOUNT=2 -DKILLS=2
 *
 * broken  it notifies who comes later:             -DCOUNT=2 -DBREAK_BELOW
 * broken  it parks whatever the state is:          -DCOUNT=1 -DBREAK_PARK
 * broken  who gives up does not look again:        -DCOUNT=1 -DTIMED -DBREAK_GIVE_UP
 * broken  the dead one's grant is not passed on:   -DCOUNT=1 -DKILLS=1 -DBREAK_PASS
 * broken  the grant is passed on to a later one:   -DCOUNT=1 -DKILLS=1 -DBREAK_HEIRS
 * broken  nobody goes on for a dead notifier:      -DCOUNT=2 -DKILLS=2 -DBREAK_RECOVER
 */
#ifndef KILLS
#define KILLS 0
#endif

mtype = { FREE, WAITING, PARKED, GRANTED };

mtype state[4];
byte ticket[4], heirs_below[4];
byte next_ticket = 1, granted_below;
chan line = [3] of { byte };
byte guard; /* 4: the notifier */
bool repair; /* its holder died with it */
bool asleep[4], killed[5], dead[5], returned[4], gave_up[4];
byte slices[4]; /* that ended; few must do */
byte below, due; /* ghosts: tickets that the notification is for; how many it is to wake */

/* mp__ilock: a dead holder's guard is taken over by whoever comes next, who repairs. */
inline enter()
{
    atomic {
        guard == 0 || dead[guard] ->
        repair = (guard != 0);
        guard = me
    }
    if
    :: repair ->
#ifndef BREAK_RECOVER
        grant_the_notified();
#endif
        repair = false
    :: else
    fi
}

/* sync.condition.grant; what is stored between this and the next step, recover_line() finds out. */
#define GRANT(w, heirs)                                                                            \
    assert(ticket[w] < below); /* it was in line when the notification came */                     \
    heirs_below[w] = heirs;                                                                        \
    woken = (state[w] == PARKED -> w : 0);                                                         \
    state[w] = GRANTED;                                                                            \
    line ? w

inline wake()
{
    atomic {
        if
        :: woken != 0 -> asleep[woken] = false; woken = 0
        :: else
        fi
    }
}

inline grant_the_notified()
{
    do
    :: atomic {
           nempty(line) ->
           line ? <first>;
           if
           :: ticket[first] < granted_below -> GRANT(first, next_ticket)
           :: else -> break
           fi
       }
       wake()
    :: empty(line) -> break
    od;
    first = 0
}

proctype waiter(byte me)
{
    byte first, woken, gone;
    bool timed;
    {
        enter(); /* line_up() */
        atomic { /* sync.condition.register */
            ticket[me] = next_ticket;
            next_ticket++;
            state[me] = WAITING;
            line ! me
        }
        guard = 0;
#ifdef TIMED
        if
        :: timed = true
        :: timed = false
        fi;
#endif
        atomic {
            if
#ifdef BREAK_PARK
            :: true -> state[me] = PARKED
#else
            :: state[me] == WAITING -> state[me] = PARKED
            :: else -> goto go_on
#endif
            fi
        }
sleep:
        atomic {
            if
            :: state[me] == PARKED -> asleep[me] = true
            :: else -> goto go_on
            fi
        }
end_asleep:
        if
        :: !asleep[me] -> goto sleep
        :: atomic { asleep[me] && timed -> asleep[me] = false; goto give_up }
#if KILLS > 0
        :: atomic { asleep[me] && timeout && slices[me] < 3 -> slices[me]++; asleep[me] = false }
#endif
        fi;
        enter(); /* look_around() */
        atomic { /* live_first(), collect(): the dead in line go, the dead granted have heirs */
            do
            :: nempty(line) ->
                line ? <first>;
                if
                :: dead[first] -> state[first] = FREE; line ? first
                :: else -> break
                fi
            :: empty(line) -> break
            od;
            first = 0;
            gone = 0;
            if
            :: dead[1] && state[1] == GRANTED -> gone = 1
            :: dead[2] && state[2] == GRANTED -> gone = 2
            :: dead[3] && state[3] == GRANTED -> gone = 3
            :: else
            fi;
            if
#ifndef BREAK_PASS
            :: gone != 0 && nempty(line) ->
                line ? <first>;
                if
#ifdef BREAK_HEIRS
                :: true ->
#else
                :: ticket[first] < heirs_below[gone] ->
#endif
                    GRANT(first, heirs_below[gone]) /* sync.condition.pass */
                :: else
                fi
#endif
            :: else
            fi;
            if
            :: gone != 0 -> state[gone] = FREE; gone = 0
            :: else
            fi;
            first = 0
        }
        wake();
        guard = 0;
        goto sleep;

give_up:
        enter();
        atomic {
            if
#ifndef BREAK_GIVE_UP
            :: state[me] == GRANTED -> guard = 0; goto go_on
#endif
            :: else ->
                if
                :: line ?? [eval(me)] -> line ?? eval(me)
                :: else
                fi;
                state[me] = FREE;
                gave_up[me] = true;
                guard = 0;
                goto out
            fi
        }

go_on:
        enter();
        atomic { /* sync.condition.leave */
            state[me] = FREE;
            returned[me] = true
        }
        guard = 0;
out:
        skip
    } unless {
        killed[me] -> atomic { asleep[me] = false; dead[me] = true }
    }
}

proctype notifier(byte me)
{
    byte first, woken;
    {
        enter();
        atomic { /* sync.condition.notify */
            if
            :: empty(line) -> guard = 0; goto out
            :: else -> line ? <first>
            fi;
            below = next_ticket;
            due = (len(line) < COUNT -> len(line) : COUNT);
#ifdef BREAK_BELOW
            granted_below = ticket[first] + COUNT + 1;
#else
            if /* tickets have gaps where some gave up: the ticket of the last one to be woken */
            :: len(line) <= COUNT -> granted_below = next_ticket
            :: len(line) > COUNT && COUNT == 1 -> granted_below = ticket[first] + 1
            :: len(line) > COUNT && COUNT == 2 -> /* of three: all but the last ticket */
                granted_below = 3
            fi;
#endif
            first = 0
        }
        grant_the_notified();
        guard = 0;
out:
        skip
    } unless {
        killed[me] -> dead[me] = true
    }
}

#if KILLS > 0
#define QUIET(i) (!asleep[i] || slices[i] == 3)
#else
#define QUIET(i) true
#endif
#define MISSED(i) (asleep[i] && !dead[i] && ticket[i] < below)

/* When nothing can happen any more: as many have returned as were to, unless too few were left. */
proctype judge()
{
    byte n;
end:
    atomic {
        timeout && QUIET(1) && QUIET(2) && QUIET(3) ->
        n = returned[1] + returned[2] + returned[3];
        assert(n <= due);
        assert(n == due || !(MISSED(1) || MISSED(2) || MISSED(3)))
    }
}

init
{
    atomic {
        run waiter(1);
        run waiter(2);
        run waiter(3);
        run notifier(4);
        run judge()
    }
#if KILLS == 1
    if
    :: killed[1] = true
    :: killed[2] = true
    :: killed[3] = true
    fi
#elif KILLS == 2
    killed[4] = true
#endif
}
