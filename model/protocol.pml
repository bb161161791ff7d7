/*
 * The protocol by which batches enter Redis: terms, the fence, commits of unknown outcome, pausing and rewinding.
 *
 * Leases and clocks are not in this model. Any instance may take a term at any time, and may go on believing in its
 * own: whatever a lease, an eviction, a false alarm or a hand-over can bring about is among that. lease.pml shows what
 * the lease adds.
 *
 * A watch is a dirty bit of its connection, as it is in Redis: a write to a watched key sets the bit.
 *
 * Each guard can be taken out by a #define (see model/guards.mjs); the run expects a counterexample for each.
 */
#ifndef INSTANCES
#define INSTANCES 2
#endif
#ifndef TERMS
#define TERMS 3
#endif
#ifndef BATCHES
#define BATCHES 2
#endif
#ifndef SOURCES
#define SOURCES 1
#endif
#ifndef RESTARTS
#define RESTARTS 1
#endif
#ifndef REWINDS
#define REWINDS 1
#endif
#ifndef PAUSES
#define PAUSES 1
#endif
/* How many errors inside a transaction: scripts that Redis no longer has. */
#ifndef FLUSHES
#define FLUSHES 1
#endif

#define NOBODY INSTANCES
#define SOURCE(i) ((i) % SOURCES)

#define EXEC 1
#define OK 1
#define REFUSED 2
#define FAILED 3

/* What Redis holds of one source. `last` is what the queue itself ends with: the newest batch of this source in it. */
typedef Stored {
  unsigned term : 3;
  unsigned holder : 3;
  unsigned cursor : 3;
  unsigned last : 3;
  bit rewound
}

/* An instance, its commit connection, and the one that it gave up last, whose EXEC may still be on its way. */
typedef Instance {
  bit seen;              /* has ever taken a term */
  bit leads;
  bit known;             /* the position is known: `from` */
  bit attempted;         /* an EXEC of the batch after `from` has been sent */
  bit ready;             /* the snapshot was right: the EXEC may be sent */
  bit awaits;            /* the answer to an EXEC */
  bit generation;        /* before or after the rewind did this generator learn where to start? */
  unsigned term : 3;
  unsigned from : 3;

  bit request;           /* an EXEC is on its way; the next WATCH and read travel behind it */
  bit watches;
  bit dirty;
  unsigned result : 2;   /* on its way back */
  bit snapshot;          /* on its way back, and what it says */
  bit mine;
  bit paused;
  bit foundGeneration;
  unsigned found : 3;
#ifdef SPLIT_WATCH
  bit split;             /* the first command of WATCH and read was executed, the second was not */
#endif
#ifdef COUNT_FROM_SNAPSHOT
  unsigned counter : 4;
#endif

  bit lateExec;
  bit lateWatches;
  bit lateDirty;
  bit lateGeneration;
  unsigned lateBatch : 3;
  unsigned lateTerm : 3;
#ifdef COUNT_FROM_SNAPSHOT
  unsigned lateCounter : 4;
#endif
}

Stored redis[SOURCES];
bit paused;
/* What a Redis that restarts may return to. */
Stored saved[SOURCES];
bit savedPaused;
#ifdef COUNT_FROM_SNAPSHOT
unsigned counter : 4;
#endif

Instance at[INSTANCES];

unsigned restarts : 2 = RESTARTS;
unsigned rewinds : 2 = REWINDS;
unsigned pauses : 2 = PAUSES;
unsigned flushes : 2 = FLUSHES;
bit isSaved;
#ifdef COUNT_FROM_SNAPSHOT
#define COUNTER(x) x
#else
#define COUNTER(x) 0
#endif
#ifdef LIVENESS
/* Somebody is left who may lead. */
#define MAY_END(i) (redis[SOURCE(i)].term < TERMS)
#else
#define MAY_END(i) true
#endif
#ifdef LIVENESS
unsigned cuts : 2 = 2;
#define MAY_CUT (cuts > 0)
#define COUNT_CUT cuts--
#else
#define MAY_CUT true
#define COUNT_CUT skip
#endif
byte k;

/* A write to one of the watched keys. A late EXEC that is dirty can only be refused, and nobody hears: it is dropped. */
inline touch(s) {
  k = 0;
  do
  :: k < INSTANCES ->
     if
     :: SOURCE(k) == s ->
#ifdef MERGED
        /* It can only be refused, and nothing depends on when: at once. */
        if :: at[k].watches && at[k].request == EXEC -> at[k].request = 0; at[k].watches = 0; at[k].awaits = 0 :: else fi;
#else
        if :: at[k].watches -> at[k].dirty = 1 :: else fi;
#endif
        if :: at[k].lateExec && at[k].lateWatches -> dropLate(k) :: else fi
     :: else
     fi;
     k++
  :: else -> break
  od;
  k = 0
}

#ifdef NO_WATCH_LEADER
#define touchLeader(s) skip
#else
#define touchLeader(s) touch(s)
#endif
#ifdef NO_WATCH_CURSOR
#define touchCursor(s) skip
#else
#define touchCursor(s) touch(s)
#endif
#ifdef NO_WATCH_PAUSED
#define touchPaused skip
#elif SOURCES == 2
#define touchPaused touch(0); touch(1)
#else
#define touchPaused touch(0)
#endif

inline dropLate(i) {
  at[i].lateExec = 0; at[i].lateWatches = 0; at[i].lateDirty = 0; at[i].lateGeneration = 0;
  at[i].lateBatch = 0; at[i].lateTerm = 0;
#ifdef COUNT_FROM_SNAPSHOT
  at[i].lateCounter = 0
#endif
}

inline dropSnapshot(i) {
  at[i].snapshot = 0; at[i].mine = 0; at[i].paused = 0; at[i].found = 0; at[i].foundGeneration = 0
}

/* The client's connection is gone, with all that was under way on it. */
inline dropConnection(i) {
  at[i].request = 0; at[i].watches = 0; at[i].dirty = 0; at[i].result = 0;
  at[i].ready = 0; at[i].awaits = 0;
#ifdef SPLIT_WATCH
  at[i].split = 0;
#endif
#ifdef COUNT_FROM_SNAPSHOT
  at[i].counter = 0;
#endif
  dropSnapshot(i)
}

/* The EXEC that is on its way on the connection to be dropped may arrive later. */
inline keepLate(i) {
  at[i].lateExec = 1; at[i].lateWatches = at[i].watches;
  at[i].lateGeneration = at[i].generation; at[i].lateBatch = at[i].from + 1; at[i].lateTerm = at[i].term;
#ifdef COUNT_FROM_SNAPSHOT
  at[i].lateCounter = at[i].counter;
#endif
  if :: at[i].dirty && at[i].watches -> dropLate(i) :: else fi
}

inline stopLeading(i) {
  dropConnection(i);
  at[i].leads = 0; at[i].known = 0; at[i].attempted = 0; at[i].generation = 0; at[i].term = 0; at[i].from = 0
}

/* What must hold whenever a transaction takes effect. */
inline check(i, s, batch, itsTerm, itsGeneration) {
  /* A stale term commits nothing, the same number in another hand included. */
  assert(redis[s].term == itsTerm && redis[s].holder == i);
  /* Once `cursor set` has returned, no batch that started from an older cursor is committed. */
  assert(redis[s].rewound == itsGeneration);
  /* Once `pause` has returned, no batch is committed. */
  assert(!paused);
  /* Once, in order, and contiguous with what Redis has kept. */
  assert(batch == redis[s].last + 1)
}

/* The body of the transaction. A script that Redis does not have fails, and the other commands still take effect. */
inline execute(i, s, batch, itsTerm, itsGeneration, itsCounter, outcome) {
  check(i, s, batch, itsTerm, itsGeneration);
  redis[s].last = batch;
#ifdef COUNT_FROM_SNAPSHOT
  if
  :: counter == itsCounter -> redis[s].cursor = batch; outcome = OK
  :: else -> outcome = FAILED
  fi;
  counter++;
#else
  redis[s].cursor = batch;
  outcome = OK;
#endif
  touchCursor(s);
  assert(redis[s].cursor == redis[s].last)
}

inline executeWithoutScripts(i, s, batch, outcome) {
#ifdef NO_COUNT_CHECK
  redis[s].cursor = batch;
  outcome = OK;
#else
  outcome = FAILED;
#endif
  touchCursor(s);
  assert(redis[s].cursor == redis[s].last)
}

inline readSnapshot(i, s) {
  at[i].snapshot = 1;
#ifdef NO_TERM_CHECK
  at[i].mine = 1;
#elif defined(NO_INSTANCE_CHECK)
  at[i].mine = (redis[s].term == at[i].term);
#else
  at[i].mine = (redis[s].term == at[i].term && redis[s].holder == i);
#endif
#ifndef NO_PAUSED_CHECK
  at[i].paused = paused;
#endif
  at[i].found = redis[s].cursor;
  at[i].foundGeneration = redis[s].rewound;
#ifdef COUNT_FROM_SNAPSHOT
  at[i].counter = counter
#endif
}

#ifdef MERGED
bit deaf;
#endif

inline transact(i) {
  at[i].request = 0;
  if
  :: at[i].dirty && at[i].watches -> at[i].result = REFUSED; at[i].watches = 0; at[i].dirty = 0
  :: else ->
     at[i].watches = 0; at[i].dirty = 0;
     execute(i, SOURCE(i), at[i].from + 1, at[i].term, at[i].generation, COUNTER(at[i].counter), at[i].result)
  fi;
  finish(i)
}

/* Merged, the answer to an EXEC is heard at once, or never. */
inline finish(i) {
#ifdef MERGED
  if :: deaf -> dropConnection(i) :: else -> hear(i) fi
#else
  skip
#endif
}

/* What the generator makes of a snapshot. */
inline decide(i) {
  if
  :: !at[i].mine -> printf("@ deposed %d\n", i); stopLeading(i)
  :: at[i].mine && at[i].paused
  :: at[i].mine && !at[i].paused && !at[i].known ->
     at[i].known = 1; at[i].from = at[i].found; at[i].generation = at[i].foundGeneration; at[i].attempted = 0
  :: at[i].mine && !at[i].paused && at[i].known ->
     if
#ifdef NO_POSITION_CHECK
     :: at[i].from < BATCHES -> at[i].ready = 1
#elif defined(NO_LOOKUP)
     :: (at[i].attempted || at[i].found == at[i].from) && at[i].from < BATCHES -> at[i].ready = 1
     :: !at[i].attempted && at[i].found != at[i].from -> forgetPosition(i)
#else
     :: at[i].found == at[i].from && at[i].from < BATCHES -> at[i].ready = 1
     :: at[i].found != at[i].from && at[i].attempted && at[i].found == at[i].from + 1 ->
        at[i].from++; at[i].attempted = 0
     :: at[i].found != at[i].from && !(at[i].attempted && at[i].found == at[i].from + 1) -> forgetPosition(i)
#endif
     :: else
     fi
  fi;
  dropSnapshot(i)
}

inline forgetPosition(i) {
  printf("@ diverged %d\n", i);
  at[i].known = 0; at[i].from = 0; at[i].attempted = 0; at[i].generation = 0
}

inline send(i) {
  at[i].ready = 0; at[i].request = EXEC; at[i].awaits = 1; at[i].attempted = 1
}

inline hear(i) {
  at[i].awaits = 0;
  if
  :: at[i].result == OK -> at[i].result = 0; at[i].from++; at[i].attempted = 0
  :: at[i].result == REFUSED -> at[i].result = 0
  :: at[i].result == FAILED -> dropConnection(i)
  fi
}

inline loseConnection(i) {
  printf("@ lose %d\n", i); COUNT_CUT;
#ifdef RECONNECTING_COMMIT
  if
  :: at[i].awaits -> dropConnection(i); at[i].request = EXEC; at[i].awaits = 1
  :: else -> dropConnection(i)
  fi
#else
  dropConnection(i)
#endif
}

/* Room for a request: nothing is under way but, perhaps, the answer to an EXEC that came before. */
#define MAY_WATCH(i) (at[i].leads && at[i].request == 0 && !at[i].snapshot && !at[i].ready && \
  !(at[i].known && at[i].from == BATCHES && !at[i].awaits))
/* Instances are alike until they first take a term: they do so in order, which leaves out mirror images. */
#define MAY_CAMPAIGN(i) (i == 0 || at[i - 1].seen || SOURCES > 1)

byte unheard;

/* The program's side: from a term that is taken to one that is over. */
proctype Leader(byte i) {
  do
  :: d_step { !at[i].leads && redis[SOURCE(i)].term < TERMS && MAY_CAMPAIGN(i) ->
       printf("@ term %d\n", i);
       redis[SOURCE(i)].term++; redis[SOURCE(i)].holder = i; touchLeader(SOURCE(i));
       at[i].leads = 1; at[i].seen = 1; at[i].term = redis[SOURCE(i)].term }
#ifdef READ_BEFORE_TERM
  /* The position is learnt by a read of its own, which comes before the term is taken. */
  :: d_step { !at[i].leads && !at[i].known && MAY_CAMPAIGN(i) ->
       printf("@ early %d\n", i);
       at[i].known = 1; at[i].from = redis[SOURCE(i)].cursor; at[i].generation = redis[SOURCE(i)].rewound }
#endif
#ifndef MERGED
  :: d_step { at[i].snapshot && !at[i].awaits -> printf("@ snapshot %d\n", i); decide(i) }
  :: d_step { at[i].leads && at[i].ready -> printf("@ send %d\n", i); send(i) }
  :: d_step { at[i].result != 0 -> printf("@ answer %d\n", i); hear(i) }
#endif
  /* The connection breaks, or is thought to have broken; what was sent on it is lost, or may still arrive. */
  :: d_step { at[i].leads && MAY_CUT && (at[i].request != 0 || at[i].watches || at[i].result != 0 || at[i].snapshot) ->
       loseConnection(i) }
  :: d_step { at[i].leads && MAY_CUT && at[i].request == EXEC && !at[i].lateExec ->
       printf("@ abandon %d\n", i); COUNT_CUT; keepLate(i); dropConnection(i) }
  /* Crashed, or stepped down. To believe on is not to do this. */
  :: d_step { at[i].leads && MAY_END(i) -> printf("@ end %d\n", i); stopLeading(i) }
  :: d_step { at[i].leads && MAY_END(i) && at[i].request == EXEC && !at[i].lateExec ->
       printf("@ endLate %d\n", i); keepLate(i); stopLeading(i) }
  od
}

/* Redis's side of one instance's connections. */
proctype Server(byte i) {
  do
#ifdef MERGED
  /* The instance does nothing that another could notice between the read and the EXEC: one step. */
  :: d_step { MAY_WATCH(i) -> printf("@ watch %d\n", i);
       at[i].watches = 1; at[i].dirty = 0; readSnapshot(i, SOURCE(i)); decide(i);
       if :: at[i].ready -> send(i) :: else -> at[i].watches = 0 fi }
#elif !defined(SPLIT_WATCH)
  /* What is watched stays watched until an EXEC: another read does not forget what has changed. */
  :: d_step { MAY_WATCH(i) -> printf("@ watch %d\n", i);
       if :: !at[i].watches -> at[i].watches = 1; at[i].dirty = 0 :: else fi;
       readSnapshot(i, SOURCE(i)) }
#elif defined(READ_BEFORE_WATCH)
  :: d_step { MAY_WATCH(i) && !at[i].split -> printf("@ onlyRead %d\n", i);
       readSnapshot(i, SOURCE(i)); at[i].snapshot = 0; at[i].split = 1 }
  :: d_step { at[i].split -> printf("@ onlyWatch %d\n", i);
       at[i].split = 0; at[i].snapshot = 1; at[i].watches = 1; at[i].dirty = 0 }
#else
  :: d_step { MAY_WATCH(i) && !at[i].split -> printf("@ onlyWatch %d\n", i);
       at[i].split = 1; at[i].watches = 1; at[i].dirty = 0 }
  :: d_step { at[i].split -> printf("@ onlyRead %d\n", i); at[i].split = 0; readSnapshot(i, SOURCE(i)) }
#endif
  :: d_step { at[i].request == EXEC && at[i].result == 0 -> printf("@ exec %d\n", i); transact(i) }
  :: d_step { at[i].request == EXEC && at[i].result == 0 && flushes > 0 && !(at[i].dirty && at[i].watches) ->
       printf("@ flush %d\n", i);
       flushes--; at[i].request = 0; at[i].watches = 0; at[i].dirty = 0;
       executeWithoutScripts(i, SOURCE(i), at[i].from + 1, at[i].result); finish(i) }
#ifdef MERGED
  /* Its answer is lost. */
  :: d_step { at[i].request == EXEC && MAY_CUT -> printf("@ exec %d\n@ lose %d\n", i, i); COUNT_CUT;
       deaf = 1; transact(i); deaf = 0 }
#endif
  :: d_step { at[i].lateExec -> printf("@ late %d\n", i);
       at[i].lateWatches = 0;
       execute(i, SOURCE(i), at[i].lateBatch, at[i].lateTerm, at[i].lateGeneration, COUNTER(at[i].lateCounter), unheard);
       unheard = 0; dropLate(i) }
  :: d_step { at[i].lateExec -> printf("@ lost %d\n", i); dropLate(i) }
  od
}

/* People: pausing, resuming, and setting the cursor, each one transaction. */
proctype Operator() {
  byte to;
  do
  :: d_step { pauses > 0 && !paused -> printf("@ pause\n"); pauses--; paused = 1; touchPaused }
  :: d_step { paused -> printf("@ resume\n"); paused = 0; touchPaused }
#ifdef LIVENESS
  :: atomic { rewinds > 0 && redis[0].term < TERMS - 1 ->
#else
  :: atomic { rewinds > 0 && redis[0].term < TERMS ->
#endif
       to = 0;
       do :: to < redis[0].cursor -> to++ :: break od;
       d_step {
         printf("@ rewind %d\n", to);
         rewinds--; redis[0].rewound = 1; redis[0].cursor = to; redis[0].last = to; touchCursor(0);
#ifndef REWIND_WITHOUT_TERM
         redis[0].term++; redis[0].holder = NOBODY; touchLeader(0);
#endif
         to = 0 } }
  od
}

/* Redis saves at some moment, and restarts with what was saved: the rest is lost, and so is every connection. */
proctype Restarts() {
  do
  :: d_step { restarts > 0 && !isSaved -> printf("@ save\n");
       isSaved = 1; k = 0;
       do
       :: k < SOURCES ->
          saved[k].term = redis[k].term; saved[k].holder = redis[k].holder; saved[k].cursor = redis[k].cursor;
          saved[k].last = redis[k].last; saved[k].rewound = redis[k].rewound; k++
       :: else -> break
       od;
       k = 0; savedPaused = paused }
  :: d_step { restarts > 0 && isSaved -> printf("@ restart\n");
       restarts--; isSaved = 0; k = 0;
       do
       :: k < SOURCES ->
          redis[k].term = saved[k].term; redis[k].holder = saved[k].holder; redis[k].cursor = saved[k].cursor;
          redis[k].last = saved[k].last; redis[k].rewound = saved[k].rewound;
          saved[k].term = 0; saved[k].holder = 0; saved[k].cursor = 0; saved[k].last = 0; saved[k].rewound = 0; k++
       :: else -> break
       od;
       paused = savedPaused; savedPaused = 0; k = 0;
       do
       :: k < INSTANCES -> dropLate(k); dropConnection(k); k++
       :: else -> break
       od;
       k = 0 }
  od
}

init {
  atomic {
    k = 0;
    do :: k < SOURCES -> redis[k].holder = NOBODY; k++ :: else -> break od;
    k = 0;
    do :: k < INSTANCES -> run Leader(k); run Server(k); k++ :: else -> break od;
    k = 0;
    run Operator();
    run Restarts()
  }
}

#ifdef LIVENESS
/* Whatever happened, once it has stopped happening everything is committed: somebody leads, a resumed group goes on. */
ltl goesOn { <> [] (redis[0].cursor == BATCHES) }
#endif
