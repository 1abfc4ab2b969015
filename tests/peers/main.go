// Command peers is what the benchmark compares this library with: the locks
// and elections of etcd's concurrency package, and the elector of client-go.
// Each round prints one line of JSON. Parts that hold locks print when they do,
// and end with their input.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"
)

// parts is what main knows.
const parts = "etcd-mutex, etcd-pair, lock-set, etcd-hold, etcd-start, etcd-campaigns, etcd-successions, client-go, client-go-start"

// Contest is one round: processes that want one lock in a loop.
type Contest struct {
	processes int
	length    time.Duration
	hold      time.Duration
	pause     time.Duration
	// How often single steps are measured.
	rounds int
}

// Result is what the processes of a round did.
type Result struct {
	// Rounds of each process.
	Rounds []int `json:"rounds"`
	// Longest wait of any process, in seconds.
	Longest float64 `json:"longest"`
	// Requests to the server, if the client counts them.
	Requests int64 `json:"requests"`
	// Times of single steps, in seconds.
	Times []float64 `json:"times"`
	// Observed is when an observer saw the end of each step, in seconds.
	Observed []float64 `json:"observed"`
}

func main() {
	log := func(err error) {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
	flags := flag.NewFlagSet("peers", flag.ExitOnError)
	endpoint := flags.String("endpoint", "", "URL of etcd")
	kubeconfig := flags.String("kubeconfig", "", "kubeconfig file")
	namespace := flags.String("namespace", "default", "namespace of the Leases")
	name := flags.String("name", "contended", "name of the lock, or prefix of its key")
	socket := flags.String("socket", "", "socket of the store, for lock-set")
	seconds := flags.Int("ttl", ttl, "ttl of a session in seconds, for lock-set")
	contest := Contest{}
	flags.IntVar(&contest.processes, "processes", 2, "how many processes want the lock, or how many locks")
	flags.DurationVar(&contest.length, "length", 10*time.Second, "length of the round")
	flags.DurationVar(&contest.hold, "hold", time.Millisecond, "how long a holder works")
	flags.IntVar(&contest.rounds, "rounds", 100, "how often single steps are measured")
	flags.DurationVar(&contest.pause, "pause", 0, "longest pause before each wait")
	if len(os.Args) < 2 {
		log(fmt.Errorf("usage: peers PART [flags], PART is one of %s", parts))
	}
	// ExitOnError: a wrong flag ends the program.
	_ = flags.Parse(os.Args[2:])
	var result *Result
	measured := func(found Result, err error) error {
		result = &found
		return err
	}
	var err error
	switch part := os.Args[1]; part {
	case "etcd-mutex":
		err = measured(etcdContended(*endpoint, *name, contest))
	case "etcd-pair":
		err = measured(etcdPairs(*endpoint, *name, contest))
	case "etcd-hold":
		err = etcdHold(*endpoint, *name, contest)
	case "etcd-start":
		err = etcdStart(*endpoint, *name)
	case "etcd-campaigns":
		err = measured(etcdCampaigns(*endpoint, *name, contest))
	case "etcd-successions":
		err = measured(etcdSuccessions(*endpoint, *name, contest))
	case "lock-set":
		// It ends with its input.
		err = lockSet(*endpoint, *name, *socket, *seconds, contest.hold)
	case "client-go":
		err = measured(electors(*kubeconfig, *namespace, *name, contest))
	case "client-go-start":
		err = clientGoStart(*kubeconfig, *namespace, *name)
	default:
		err = fmt.Errorf("unknown part %q, expected one of %s", part, parts)
	}
	if err != nil {
		log(err)
	}
	if result == nil {
		return
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		log(err)
	}
}
