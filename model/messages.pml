/*
 * What happens to messages: hands, locks and tokens, redelivery, the failed set, and the error log that is kept true
 * to it from a stream of events that forgets.
 *
 * A message is given out under a token, here the number of its attempt; its lock can be lost whenever its instance is
 * silent. Two keepers may be at work at once, and each may stop at any step. A keeper looks at a job, and later acts on
 * what it saw.
 */
#ifndef MESSAGES
#define MESSAGES 1
#endif
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef KEEPERS
#define KEEPERS 2
#endif
#ifndef ATTEMPTS
#define ATTEMPTS 3
#endif
#ifndef EVENTS
#define EVENTS 4
#endif

#ifndef CRASHES
#define CRASHES 2
#endif

#define NONE 7
#define WAITS 0
#define ACTIVE 1
#define DONE 2
#define FAILED 3

typedef Message {
  unsigned state : 2;
  unsigned attempt : 3;  /* of the newest time it was handed out: the token of its lock */
  bit locked;
  unsigned by : 2;       /* whom it was handed to */
  bit record;            /* in the error log */
  bit stalled            /* whoever had it was thought to be gone */
}
typedef Worker {
  bit busy;
  bit gone;              /* not present: dead, or thought to be */
  bit suspected;         /* was thought to be gone with this message in hand: its lock may be lost */
  unsigned message : 2;
  unsigned attempt : 3
}
typedef Keeper {
  /* Redelivery: 1 thinks that an instance is gone, 2 has read which message it has and the token, 3 still thinks so */
  unsigned redelivers : 2;
  unsigned message : 2;
  unsigned from : 2;
  unsigned token : 3;
  /* Recording: 1 has an event, 2 has read the job; for reconciling the same, with the newest event noted first */
  unsigned records : 2;
  unsigned failure : 2;
  bit failed;
  bit reconciles;
  unsigned position : 3
}

Message message[MESSAGES];
Worker worker[WORKERS];
Keeper keeper[KEEPERS];

/* The stream: which message each event is about; `first` is the oldest that it still has. */
byte event[EVENTS + 1];
unsigned written : 3;
unsigned first : 3 = 1;
/* How far the keepers have dealt with it, as stored. */
unsigned position : 3;
unsigned trims : 2 = 1;
unsigned crashes : 2 = CRASHES;
unsigned removals : 2 = 1;
unsigned asides : 2 = 1;
byte j;

#ifdef LIVENESS
#define checked true
#else
#define checked false
#endif
#define ROOM (written < EVENTS)

/* Two questions, asked apart: HANDS alone is about who has a message, without it the stream and the error log are. */
#ifdef HANDS
#undef ROOM
#define ROOM true
#define tell(m) skip
#else
#define tell(m) written++; event[written] = m
#endif

#ifdef FINISH_WITHOUT_TOKEN
#define HAS_TOKEN(m, t) true
#else
#define HAS_TOKEN(m, t) (message[m].locked && message[m].attempt == (t))
#endif

/* Holder and token are read in one step. */
#ifdef TOKEN_WITHOUT_HOLDER
#define IS_THEIRS(q, m) true
#else
#define IS_THEIRS(q, m) (message[m].by == keeper[q].from)
#endif
/* The instance may have come back since it was thought to be gone, and may have been handed the same message again. */
#ifdef NO_SECOND_LOOK
#define STILL_GONE(q) true
#else
#define STILL_GONE(q) (worker[keeper[q].from].gone)
#endif
#ifdef REDELIVER_WITHOUT_TOKEN
#define STILL_THEIRS(q) true
#else
#define STILL_THEIRS(q) (message[keeper[q].message].locked && message[keeper[q].message].attempt == keeper[q].token)
#endif

inline stall(w) {
  if
  :: message[worker[w].message].state == ACTIVE && message[worker[w].message].attempt == worker[w].attempt ->
     message[worker[w].message].stalled = 1
  :: else
  fi
}
inline putDown(w) { worker[w].busy = 0; worker[w].message = 0; worker[w].attempt = 0; worker[w].suspected = 0 }
#define finish(m, to) message[m].state = to; message[m].locked = 0
#if defined(ON_STALL_FAIL) && !defined(STALL_RETRIES)
#define giveBack(m) finish(m, FAILED); tell(m)
#else
#define giveBack(m) finish(m, WAITS)
#endif
inline forgetRedelivery(q) {
  keeper[q].redelivers = 0; keeper[q].message = 0; keeper[q].from = 0; keeper[q].token = 0
}
inline forgetRecord(q) {
  keeper[q].records = 0; keeper[q].failure = 0; keeper[q].failed = 0; keeper[q].reconciles = 0; keeper[q].position = 0
}

proctype Worker_(byte w) {
  byte m;
  do
  :: atomic { !worker[w].busy && !worker[w].gone ->
       m = 0; do :: m < MESSAGES - 1 -> m++ :: break od;
       if
       :: d_step { message[m].state == WAITS && message[m].attempt < ATTEMPTS ->
            printf("@ take %d %d\n", w, m);
            message[m].state = ACTIVE; message[m].attempt++; message[m].locked = 1; message[m].by = w;
            worker[w].busy = 1; worker[w].message = m; worker[w].attempt = message[m].attempt;
            /* In two hands only if the lock was lost. */
            j = 0;
            do
            :: j < WORKERS ->
               assert(j == w || !worker[j].busy || worker[j].message != m || worker[j].suspected);
               j++
            :: else -> break
            od;
            j = 0;
#ifdef ON_STALL_FAIL
            assert(!message[m].stalled);
#endif
            m = 0 }
       fi }
  /* The end of a handling counts only with the token. */
  :: d_step { worker[w].busy -> printf("@ complete %d\n", w);
       if
       :: message[worker[w].message].state == ACTIVE && HAS_TOKEN(worker[w].message, worker[w].attempt) ->
          finish(worker[w].message, DONE)
       :: else
       fi;
       putDown(w) }
  :: d_step { worker[w].busy && ROOM -> printf("@ fail %d\n", w);
       if
       :: message[worker[w].message].state == ACTIVE && HAS_TOKEN(worker[w].message, worker[w].attempt) ->
          finish(worker[w].message, FAILED); tell(worker[w].message)
       :: else
       fi;
       putDown(w) }
  :: d_step { worker[w].busy && crashes > 0 -> printf("@ crash %d\n", w); crashes--;
       worker[w].gone = 1; stall(w); putDown(w) }
  /* Thought to be gone; its handler runs on. */
  :: d_step { worker[w].busy && crashes > 0 && !worker[w].gone -> printf("@ vanish %d\n", w); crashes--;
       worker[w].gone = 1; worker[w].suspected = 1; stall(w) }
  :: d_step { worker[w].gone -> printf("@ back %d\n", w); worker[w].gone = 0 }
  od
}

proctype Redelivery(byte q) {
  byte m;
  do
  :: atomic { keeper[q].redelivers == 0 ->
       m = 0; do :: m < MESSAGES - 1 -> m++ :: break od;
       if
       :: d_step { message[m].state == ACTIVE && worker[message[m].by].gone -> printf("@ suspect %d %d\n", q, message[m].by);
            keeper[q].redelivers = 1; keeper[q].from = message[m].by; m = 0 }
       fi }
  :: atomic { keeper[q].redelivers == 1 ->
       m = 0; do :: m < MESSAGES - 1 -> m++ :: break od;
       d_step { printf("@ token %d %d\n", q, m);
         if
         :: message[m].state == ACTIVE && message[m].locked && IS_THEIRS(q, m) ->
            keeper[q].message = m; keeper[q].token = message[m].attempt; keeper[q].redelivers = 2
         :: else -> forgetRedelivery(q)
         fi;
         m = 0 } }
  :: d_step { keeper[q].redelivers == 2 -> printf("@ lookAgain %d\n", q);
       if :: STILL_GONE(q) -> keeper[q].redelivers = 3 :: else -> forgetRedelivery(q) fi }
  :: d_step { keeper[q].redelivers == 3 && ROOM -> printf("@ giveBack %d\n", q);
       if
       :: message[keeper[q].message].state == ACTIVE && STILL_THEIRS(q) -> giveBack(keeper[q].message)
       :: else
       fi;
       forgetRedelivery(q) }
  od
}

proctype Recorder(byte q) {
  do
  :: d_step { keeper[q].records == 0 && position < written ->
       if
       :: position + 1 >= first -> printf("@ event %d %d\n", q, position + 1);
          keeper[q].position = position + 1; keeper[q].failure = event[position + 1]; keeper[q].records = 1
       :: else -> printf("@ reconcile %d\n", q);
#ifdef NO_RECONCILE
          keeper[q].position = first - 1; keeper[q].records = 3
#else
          keeper[q].reconciles = 1; keeper[q].failure = 0; keeper[q].records = 1;
#ifndef POSITION_AFTER_RECONCILING
          keeper[q].position = written
#endif
#endif
       fi }
  /* An instance that stops records what fails in its hands: no event told it to, and it leaves the position alone. */
  :: d_step { keeper[q].records == 0 && asides > 0 -> printf("@ aside %d\n", q); asides--;
       keeper[q].records = 1; keeper[q].failure = 0; keeper[q].position = NONE }
  :: d_step { keeper[q].records == 1 -> printf("@ readJob %d\n", q);
       keeper[q].failed = (message[keeper[q].failure].state == FAILED); keeper[q].records = 2
#ifdef POSITION_FIRST
       ; if :: !keeper[q].reconciles && keeper[q].position != NONE -> position = keeper[q].position :: else fi
#endif
     }
  /* One script: what is in the failed set now gets its record, and the position goes with it. */
  :: d_step { keeper[q].records == 2 -> printf("@ sync %d\n", q);
#ifdef RECORD_FROM_EVENT
       message[keeper[q].failure].record = keeper[q].failed;
#else
       if
       :: message[keeper[q].failure].state != FAILED -> message[keeper[q].failure].record = 0
       :: message[keeper[q].failure].state == FAILED && keeper[q].failed -> message[keeper[q].failure].record = 1
       :: else
       fi;
#endif
       if
       :: keeper[q].reconciles && keeper[q].failure + 1 < MESSAGES ->
          keeper[q].failure++; keeper[q].records = 1; keeper[q].failed = 0
       :: else ->
#ifdef POSITION_AFTER_RECONCILING
          if :: keeper[q].reconciles -> keeper[q].position = written :: else fi;
#endif
#ifdef POSITION_FIRST
          if :: keeper[q].reconciles -> position = keeper[q].position :: else fi;
#else
          if :: keeper[q].position != NONE -> position = keeper[q].position :: else fi;
#endif
          forgetRecord(q)
       fi }
  :: d_step { keeper[q].records == 3 -> position = keeper[q].position; forgetRecord(q) }
#ifndef LIVENESS
  :: d_step { keeper[q].records != 0 -> printf("@ keeperEnds %d\n", q); forgetRecord(q) }
#else
  :: d_step { keeper[q].records != 0 && crashes > 0 -> crashes--; forgetRecord(q) }
#endif
  /* Quiet: everything in the stream was dealt with, nobody is at it. */
  :: d_step { position == written && keeper[0].records == 0 && keeper[KEEPERS - 1].records == 0 && !checked ->
       j = 0;
       do
       :: j < MESSAGES -> assert(message[j].record == (message[j].state == FAILED)); j++
       :: else -> break
       od;
       j = 0 }
  od
}

/* Retrying, and a stream that forgets. */
proctype Others() {
  byte m;
  do
  :: atomic { ROOM && removals > 0 -> m = 0; do :: m < MESSAGES - 1 -> m++ :: break od;
       if
       :: d_step { message[m].state == FAILED -> printf("@ retry %d\n", m); removals--;
            message[m].state = WAITS; message[m].stalled = 0; tell(m); m = 0 }
       fi }
#ifndef HANDS
  :: d_step { trims > 0 && written > 0 -> printf("@ trim\n"); trims--; first = written + 1 }
#endif
  od
}

init {
  atomic {
    j = 0;
    do :: j < WORKERS -> run Worker_(j); j++ :: else -> break od;
    j = 0;
    do
    :: j < KEEPERS ->
#ifdef HANDS
       run Redelivery(j);
#else
       run Recorder(j);
#endif
       j++
    :: else -> break
    od;
    j = 0;
    run Others()
  }
}

#ifdef LIVENESS
/* A failure that stays is on record at last. */
ltl recorded { [] ((message[0].state == FAILED) -> <> (message[0].record || message[0].state != FAILED)) }
#endif
