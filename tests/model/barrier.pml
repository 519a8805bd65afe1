/*
 * barrier.pml: where parties meet, round after round.
 *
 * Mirrors   src/sync/barrier.c    arrive, lead, follow, wait_asleep, break_round, note_break,
 *           open_round, has_opened, mp_barrier_reset; the action is left out
 * Points    sync.barrier.arrive, sync.barrier.open, sync.barrier.break
 *
 * Always    nobody passes before all came to its round; the numbers of a round are all different
 *           who passes was in a round that opened, who is told of a break was in one that did not,
 *           however late they look
 *           (heals) a party dies while it waits, and too few come: the others are told of a break
 *
 * check   meets:        -DTHREADS=2 -DPARTIES=2 -DTURNS=3
 * check   meets-more:   -DTHREADS=4 -DPARTIES=2
 * check   times-out:    -DTHREADS=3 -DPARTIES=2 -DTIMED
 * check   resets:       -DTHREADS=3 -DPARTIES=2 -DTIMED -DRESET
 * check   heals:        -DTHREADS=2 -DPARTIES=3 -DKILLS=1
 *
 * broken  whoever comes does not ask for all:      -DTHREADS=2 -DPARTIES=2 -DTURNS=2 -DBREAK_ALL
 * broken  a number is taken without a CAS:         -DTHREADS=2 -DPARTIES=2 -DBREAK_CAS
 * broken  it opens a round that is over:           -DTHREADS=3 -DPARTIES=2 -DTIMED -DBREAK_OPEN
 * broken  the end of an era is not noted:          -DTHREADS=2 -DPARTIES=2 -DTURNS=2 -DTIMED -DBREAK_NOTE
 * broken  no bit of sleepers:                      -DTHREADS=2 -DPARTIES=2 -DBREAK_SLEEPERS
 * broken  nobody looks for the dead:               -DTHREADS=2 -DPARTIES=3 -DKILLS=1 -DBREAK_LOOK
 */
#ifndef TURNS
#define TURNS 1
#endif
#ifndef KILLS
#define KILLS 0
#endif
#define ROUNDS 10

byte round = 1, era; /* the state, one word with the two bits */
bool broken, sleepers;
byte slot_round[PARTIES], slot_owner[PARTIES];
byte ended[ROUNDS]; /* by era */
bool asleep[5], killed[5], through[5], dead[5];
byte arrived[ROUNDS], places[ROUNDS]; /* ghosts, by round: how many came, who has which number */
bool opened[ROUNDS];

#define SAME (round == mine && era == my_era && !broken)

inline wake_all()
{
    atomic { asleep[1] = false; asleep[2] = false; asleep[3] = false; asleep[4] = false }
}

proctype party(byte me)
{
    byte mine, my_era, i, seen, owner, turn;
    byte slices; /* few must do */
    bool woke;
    {
        turn = 0;
again:
        atomic {
            mine = round;
            my_era = era;
            i = 0;
            if
            :: turn == TURNS || broken -> goto out
            :: else
            fi
        }
        do /* came() */
        :: atomic {
               if
               :: i < PARTIES ->
                   if
                   :: slot_round[i] == mine -> i++
                   :: else -> break
                   fi
               :: else -> break
               fi
           }
        od;
        if
        :: i == PARTIES -> /* the round before is being opened */
            if
            :: !SAME -> goto again
#ifdef TIMED
            :: true -> goto out
#endif
#if KILLS > 0
            :: timeout
#endif
            fi;
            goto breaks
        :: else
        fi;
        atomic { seen = slot_round[i]; owner = slot_owner[i] }
        atomic {
            if
            :: seen == mine || !SAME -> goto again
            :: else
            fi
        }
        atomic { /* sync.barrier.arrive */
            if
#ifndef BREAK_CAS
            :: slot_round[i] != seen || slot_owner[i] != owner -> goto again
#endif
            :: else ->
                slot_round[i] = mine;
                slot_owner[i] = me;
                seen = 0;
                owner = 0;
                if
                :: SAME ->
                    arrived[mine]++;
                    assert(!(places[mine] & (1 << i)));
                    places[mine] = places[mine] | (1 << i)
                :: else
                fi
            fi
        }
#ifdef BREAK_ALL
        if
        :: i == 0 -> goto lead
        :: else
        fi;
#endif
        if
        :: i == PARTIES - 1 -> goto lead
        :: else
        fi;

follow:
#ifndef BREAK_SLEEPERS
        atomic {
            if
            :: !SAME -> goto over
            :: else -> sleepers = true
            fi
        }
#endif
        atomic { /* the futex call: the low half is the round */
            if
            :: round == mine -> asleep[me] = true
            :: else -> goto over
            fi
        }
        if
        :: !asleep[me] -> goto follow_again
#ifdef TIMED
        :: atomic { asleep[me] -> asleep[me] = false; goto breaks }
#endif
#if KILLS > 0
        :: atomic { asleep[me] && timeout && slices < 3 -> slices++; asleep[me] = false }
#endif
        fi;
        atomic { /* the slice is over: the next one that came, the last looks at the first */
            seen = (i + 1 < PARTIES && slot_round[(i + 1) % PARTIES] == mine -> i + 1 : 0);
            if
            :: slot_round[PARTIES - 1] == mine -> seen = PARTIES - 1
            :: else
            fi;
            owner = slot_owner[seen];
            if
#ifndef BREAK_LOOK
            :: slot_round[seen] == mine && dead[owner] -> seen = 0; owner = 0; goto breaks
#endif
            :: else -> seen = 0; owner = 0
            fi
        }
follow_again:
        atomic {
            if
            :: SAME -> goto follow
            :: else -> goto over
            fi
        }

lead:
        atomic { /* sync.barrier.open */
            if
#ifndef BREAK_OPEN
            :: !SAME -> goto over
#endif
            :: else ->
                assert(arrived[round] == PARTIES && round == mine);
                opened[round] = true;
                round++;
                woke = sleepers;
                sleepers = false
            fi
        }
        if
        :: woke -> wake_all()
        :: else
        fi;
        woke = false;
        goto over;

breaks: /* break_round */
#ifndef BREAK_NOTE
        atomic {
            if
            :: ended[my_era] < mine -> ended[my_era] = mine
            :: else
            fi
        }
#endif
        atomic { /* sync.barrier.break */
            if
            :: !SAME -> goto over
            :: else -> round++; era++; broken = true; woke = sleepers; sleepers = false
            fi
        }
        if
        :: woke -> wake_all()
        :: else
        fi;
        woke = false;

over: /* has_opened(): first the state, then the note */
        atomic {
            if
            :: era == my_era -> assert(i == PARTIES || opened[mine]); turn++; goto again
            :: else
            fi
        }
        atomic {
            assert(i == PARTIES || opened[mine] == (ended[my_era] != mine));
            turn++;
            goto again
        }
out:
        through[me] = true
    } unless {
        killed[me] -> atomic { asleep[me] = false; dead[me] = true }
    }
}

#ifdef RESET
proctype resetter()
{
    byte mine, my_era;
    atomic { mine = round; my_era = era }
    atomic {
        if
        :: ended[my_era] < mine -> ended[my_era] = mine
        :: else
        fi
    }
    atomic {
        if
        :: SAME -> round++; era++; sleepers = false; wake_all()
        :: else
        fi
    }
}
#endif

init
{
    atomic {
        run party(1);
        run party(2);
#if THREADS > 2
        run party(3);
#endif
#if THREADS > 3
        run party(4);
#endif
#ifdef RESET
        run resetter()
#endif
    }
#if KILLS > 0
    /* One that has come and sleeps is killed, as any other would be that waits. */
    if
    :: asleep[1] -> killed[1] = true
    :: asleep[2] -> killed[2] = true
    :: asleep[3] -> killed[3] = true
    :: through[1] || through[2] || through[3] -> skip
    fi
#endif
}
