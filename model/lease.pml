/*
 * The lease and the trust deadline: at most one instance at a time believes that it leads, however late requests and
 * answers are, and however processes are paused; and after a crash somebody leads again.
 *
 * Time passes in ticks, for everybody at once. A lease lasts TTL ticks; a node whose clock runs fast ends it one tick
 * early. The trust deadline has a margin of one tick for that. In the program both are a twentieth of the time to live:
 * what matters is only that the margin is no less than the error of a clock, and the model has the same ratio at both.
 *
 * Not covered: a lease node that restarts without its leases (Redlock's known gap). Two may then lead for up to TTL;
 * protocol.pml, where anybody may believe to lead at any time, shows that no message suffers.
 */
#ifndef INSTANCES
#define INSTANCES 2
#endif
#ifndef NODES
#define NODES 1
#endif
/* Leases that are ever asked for. With LIVENESS there is no end of them. */
#ifndef SECRETS
#define SECRETS 3
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef ALARMS
#define ALARMS 1
#endif
#ifndef TTL
#define TTL 4
#endif
#ifdef NO_QUORUM
#define QUORUM 1
#else
#define QUORUM (NODES / 2 + 1)
#endif
#ifdef NO_MARGIN
#define TRUST TTL
#else
#define TRUST (TTL - 1)
#endif

#define FREE 0

typedef Node {
  unsigned secret : 3;
  unsigned left : 3      /* ticks until the lease ends */
}
typedef Instance {
  bit rests;             /* was refused: comes again a while later */
  bit campaigns;
  bit leads;
  bit evicted;           /* somebody took its lease, believing it dead: it may overlap with the next leader */
  unsigned secret : 3;
  unsigned trust : 3;    /* ticks of trust left */
  bit renews;
  unsigned fresh : 3;    /* the trust that the renewal under way will bring */
  unsigned asked : 3;    /* nodes, one bit each, that the request is on its way to */
  unsigned granted : 2   /* how many said yes */
}

Node node[NODES];
Instance at[INSTANCES];
unsigned secrets : 3;
unsigned crashes : 2 = CRASHES;
unsigned alarms : 2 = ALARMS;
/* An eviction on its way, and of whose lease. */
unsigned victim : 3;
bit visited[NODES];
byte j, k, leaders;

#define ALL ((1 << NODES) - 1)
#ifdef LIVENESS
#define MAY_ASK(i) !at[i].rests
#define LOSES false
#define RESTS 1
#else
#define MAY_ASK(i) (secrets < SECRETS)
#define LOSES true
#define RESTS 0
#endif

inline reset(i) {
  at[i].campaigns = 0; at[i].leads = 0; at[i].evicted = 0; at[i].secret = 0; at[i].trust = 0; at[i].renews = 0;
  at[i].fresh = 0; at[i].asked = 0; at[i].granted = 0
}

inline count() {
  k = 0; leaders = 0;
  do
  :: k < INSTANCES -> if :: at[k].leads && at[k].trust > 0 && !at[k].evicted -> leaders++ :: else fi; k++
  :: else -> break
  od;
  k = 0;
#ifndef LIVENESS
  /* There the secrets come again, and a late eviction may hit a later lease. */
  assert(leaders <= 1);
#endif
  leaders = 0
}

proctype Candidate(byte i) {
  do
  /* The trust is counted from the start of the attempt: no node can have begun to count earlier. */
  :: d_step { !at[i].campaigns && !at[i].leads && MAY_ASK(i) -> printf("@ campaign %d\n", i);
       at[i].campaigns = 1; at[i].trust = TRUST; at[i].asked = ALL;
#ifdef LIVENESS
       at[i].secret = i + 1
#else
       secrets++; at[i].secret = secrets
#endif
     }
  :: d_step { at[i].campaigns && at[i].granted >= QUORUM && at[i].trust > 0 -> printf("@ elected %d\n", i);
       at[i].campaigns = 0; at[i].leads = 1; at[i].granted = 0; at[i].asked = 0;
#ifdef TRUST_FROM_ANSWER
       at[i].trust = TRUST;
#endif
       count() }
  /* Given up: too few said yes, or too late. What it got lapses by itself. */
  :: d_step { at[i].campaigns && (at[i].trust == 0 || (LOSES || at[i].asked == 0) && at[i].granted < QUORUM) -> printf("@ giveUp %d\n", i); reset(i); at[i].rests = RESTS }
  :: d_step { at[i].leads && at[i].trust > 0 && !at[i].renews && !at[i].rests -> printf("@ renew %d\n", i);
       at[i].renews = 1; at[i].fresh = TRUST; at[i].asked = ALL }
  :: d_step { at[i].renews && at[i].granted >= QUORUM -> printf("@ renewed %d\n", i);
#ifdef TRUST_FROM_ANSWER
       at[i].trust = TRUST;
#else
       if :: at[i].fresh > at[i].trust -> at[i].trust = at[i].fresh :: else fi;
#endif
       at[i].renews = 0; at[i].fresh = 0; at[i].asked = 0; at[i].granted = 0; at[i].rests = RESTS; count() }
  :: d_step { at[i].renews && (LOSES || at[i].asked == 0) && at[i].granted < QUORUM -> printf("@ unanswered %d\n", i);
       at[i].renews = 0; at[i].fresh = 0; at[i].asked = 0; at[i].granted = 0; at[i].rests = RESTS }
#ifndef NO_TRUST_DEADLINE
  :: d_step { at[i].leads && at[i].trust == 0 -> printf("@ stepDown %d\n", i); reset(i) }
#endif
  :: d_step { at[i].leads && crashes > 0 -> printf("@ crash %d\n", i); crashes--;
       if :: victim == 0 -> victim = at[i].secret :: else fi;
       reset(i) }
  /* A false alarm. */
  :: d_step { at[i].leads && alarms > 0 && victim == 0 -> printf("@ alarm %d\n", i); alarms--;
       victim = at[i].secret; at[i].evicted = 1 }
  od
}

/* A node deals with the requests of one instance. */
proctype Requests(byte n; byte i) {
  do
  :: d_step { at[i].asked & (1 << n) ->
       at[i].asked = at[i].asked & (ALL - (1 << n));
       if
       :: (node[n].secret == FREE && !at[i].renews) || node[n].secret == at[i].secret ->
          printf("@ grant %d %d\n", n, i);
          node[n].secret = at[i].secret; node[n].left = TTL; at[i].granted++
       :: else -> printf("@ deny %d %d\n", n, i)
       fi }
  /* Its answer is lost. */
  :: d_step { LOSES && at[i].asked & (1 << n) && node[n].secret == FREE && !at[i].renews ->
       printf("@ unheard %d %d\n", n, i);
       at[i].asked = at[i].asked & (ALL - (1 << n)); node[n].secret = at[i].secret; node[n].left = TTL }
  od
}

proctype Nodes(byte n) {
  do
  /* This node's clock is fast. */
  :: d_step { node[n].left == 1 -> printf("@ early %d\n", n); node[n].left = 0; node[n].secret = FREE }
  :: d_step { victim != 0 && !visited[n] -> printf("@ evict %d\n", n);
       visited[n] = 1;
#ifdef EVICT_WITHOUT_SECRET
       node[n].left = 0; node[n].secret = FREE;
#else
       if :: node[n].secret == victim -> node[n].left = 0; node[n].secret = FREE :: else fi;
#endif
       k = 0; do :: k < NODES && visited[k] -> k++ :: else -> break od;
       if
       :: k == NODES -> victim = 0; k = 0; do :: k < NODES -> visited[k] = 0; k++ :: else -> break od
       :: else
       fi;
       k = 0 }
  od
}

proctype Time() {
  do
  :: d_step {
#ifdef LIVENESS
       /* Once the faults are over, requests and answers are quicker than the lease. */
       at[0].asked == 0 && at[INSTANCES - 1].asked == 0 && at[0].granted == 0 && at[INSTANCES - 1].granted == 0 ->
#endif
       printf("@ tick\n");
       k = 0;
       do
       :: k < INSTANCES ->
#ifndef NO_TRUST_DEADLINE
          if :: at[k].trust > 0 -> at[k].trust-- :: else fi;
#endif
          if :: at[k].fresh > 0 -> at[k].fresh-- :: else fi;
          at[k].rests = 0;
          k++
       :: else -> break
       od;
       k = 0;
       do
       :: k < NODES ->
          if :: node[k].left > 0 -> node[k].left-- :: else fi;
          if :: node[k].left == 0 -> node[k].secret = FREE :: else fi;
          k++
       :: else -> break
       od;
       count() }
  od
}

init {
  atomic {
    k = 0;
    do :: k < INSTANCES -> run Candidate(k); k++ :: else -> break od;
    k = 0;
    do
    :: k < NODES ->
       run Nodes(k); j = 0;
       do :: j < INSTANCES -> run Requests(k, j); j++ :: else -> break od;
       j = 0; k++
    :: else -> break
    od;
    k = 0;
    run Time()
  }
}

#ifdef LIVENESS
/* Somebody leads, again and again: after a crash, after a false alarm, after silence. */
ltl somebodyLeads { [] <> ((at[0].leads && at[0].trust > 0) || (at[INSTANCES - 1].leads && at[INSTANCES - 1].trust > 0)) }
#endif
