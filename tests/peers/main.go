// Command peers is what the benchmark compares this library with: the locks
// and elections of etcd's concurrency package, and the elector of client-go.
// Each round prints one line of JSON.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"
)

// Contest is one round: processes that want one lock in a loop.
type Contest struct {
	processes int
	length    time.Duration
	hold      time.Duration
	pause     time.Duration
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
	flags.DurationVar(&contest.pause, "pause", 0, "longest pause before each wait")
	if len(os.Args) < 2 {
		log(fmt.Errorf("usage: peers etcd-mutex|etcd-pair|etcd-held|lock-set|client-go [flags]"))
	}
	// ExitOnError: a wrong flag ends the program.
	_ = flags.Parse(os.Args[2:])
	var result Result
	var err error
	switch part := os.Args[1]; part {
	case "etcd-mutex":
		result, err = etcdContended(*endpoint, *name, contest)
	case "etcd-pair":
		result, err = etcdPairs(*endpoint, *name, contest)
	case "etcd-held":
		result, err = etcdHeld(*endpoint, *name, contest)
	case "lock-set":
		// It ends with its input.
		err = lockSet(*endpoint, *name, *socket, *seconds, contest.hold)
	case "client-go":
		result, err = electors(*kubeconfig, *namespace, *name, contest)
	default:
		err = fmt.Errorf("unknown part %q, expected etcd-mutex, etcd-pair, etcd-held, lock-set or client-go", part)
	}
	if err != nil {
		log(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		log(err)
	}
}
