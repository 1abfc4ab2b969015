package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// store keeps a value, and does not compare tokens: see the part lock-set of
// the benchmark.
type store struct {
	conn    net.Conn
	replies *bufio.Reader
}

// ask sends one request, and returns the count and the last update.
func (s store) ask(request string) (count, last uint64, err error) {
	if _, err := fmt.Fprintln(s.conn, request); err != nil {
		return 0, 0, err
	}
	reply, err := s.replies.ReadString('\n')
	if err != nil {
		return 0, 0, err
	}
	_, err = fmt.Sscan(reply, &count, &last)
	return count, last, err
}

// lockSet adds one to a value again and again, each time under a Mutex, until
// its input ends. It opens another session when one was lost.
func lockSet(endpoint, name, socket string, ttl int, hold time.Duration) error {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	values := store{conn, bufio.NewReader(conn)}
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   strings.Split(endpoint, ","),
		DialTimeout: 5 * time.Second,
	})
	if err != nil {
		return err
	}
	for {
		session, err := concurrency.NewSession(client, concurrency.WithTTL(ttl))
		if err != nil {
			fmt.Fprintln(os.Stderr, "session:", err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if err := addInTurns(session, name, values, hold); err != nil {
			return err
		}
	}
}

// addInTurns adds one in each tenure, until the session is lost. Its error is
// that of the store.
func addInTurns(session *concurrency.Session, name string, values store, hold time.Duration) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		select {
		case <-session.Done():
			stop()
		case <-ctx.Done():
		}
	}()
	for {
		mutex := concurrency.NewMutex(session, "/"+name)
		if mutex.Lock(ctx) != nil {
			return nil
		}
		count, last, err := values.ask("read unguarded-0 0")
		if err != nil {
			return err
		}
		time.Sleep(time.Duration(rand.Int63n(int64(hold))))
		if _, _, err = values.ask(fmt.Sprintf("write unguarded-0 0 %d %d 0", last, count+1)); err != nil {
			return err
		}
		if mutex.Unlock(ctx) != nil {
			return nil
		}
	}
}
