package main

import (
	"context"
	"fmt"
	"math/rand"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"google.golang.org/grpc"
)

// ttl of a session in seconds, as that of a session of this library.
const ttl = 15

// dial opens a client that counts its requests. A watch is one request.
func dial(endpoint string, requests *atomic.Int64) (*clientv3.Client, error) {
	unary := func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		requests.Add(1)
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	stream := func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, begin grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		inner, err := begin(ctx, desc, cc, method, opts...)
		return counted{inner, requests}, err
	}
	return clientv3.New(clientv3.Config{
		Endpoints:   []string{endpoint},
		DialTimeout: 5 * time.Second,
		DialOptions: []grpc.DialOption{grpc.WithUnaryInterceptor(unary), grpc.WithStreamInterceptor(stream)},
	})
}

// open begins a session with a client of its own, and returns how to end both.
func open(endpoint string, requests *atomic.Int64) (*concurrency.Session, func(), error) {
	client, err := dial(endpoint, requests)
	if err != nil {
		return nil, nil, err
	}
	session, err := concurrency.NewSession(client, concurrency.WithTTL(ttl))
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	end := func() {
		session.Close()
		client.Close()
	}
	return session, end, nil
}

// counted is a stream whose sent messages are requests: watches and their ends, and heartbeats.
type counted struct {
	grpc.ClientStream
	requests *atomic.Int64
}

func (c counted) SendMsg(m any) error {
	c.requests.Add(1)
	return c.ClientStream.SendMsg(m)
}

// etcdContended measures processes that want one Mutex, each with a client and a session.
func etcdContended(endpoint, name string, contest Contest) (Result, error) {
	var requests atomic.Int64
	sessions := make([]*concurrency.Session, contest.processes)
	for i := range sessions {
		session, end, err := open(endpoint, &requests)
		if err != nil {
			return Result{}, err
		}
		defer end()
		sessions[i] = session
	}
	before := requests.Load()
	result, err := run(contest, func(i int) (func(context.Context) error, func() error) {
		mutex := concurrency.NewMutex(sessions[i], "/"+name)
		unlock := func() error { return mutex.Unlock(context.Background()) }
		return mutex.Lock, unlock
	})
	result.Requests = requests.Load() - before
	return result, err
}

// etcdPairs measures one uncontended lock and unlock after the other.
func etcdPairs(endpoint, name string, contest Contest) (Result, error) {
	var requests atomic.Int64
	session, end, err := open(endpoint, &requests)
	if err != nil {
		return Result{}, err
	}
	defer end()
	var result Result
	before := requests.Load()
	for end := time.Now().Add(contest.length); time.Now().Before(end); {
		mutex := concurrency.NewMutex(session, "/"+name)
		started := time.Now()
		if err := mutex.Lock(context.Background()); err != nil {
			return result, err
		}
		if err := mutex.Unlock(context.Background()); err != nil {
			return result, err
		}
		result.Times = append(result.Times, time.Since(started).Seconds())
	}
	result.Requests = requests.Load() - before
	return result, nil
}

// etcdHold takes as many locks as there are processes in the contest with one session, 32 at a time, prints a line, and
// holds them until the end of its input. It then prints how many it held, if the session is still alive.
func etcdHold(endpoint, name string, contest Contest) error {
	var requests atomic.Int64
	session, end, err := open(endpoint, &requests)
	if err != nil {
		return err
	}
	defer end()
	numbers, failed := make(chan int), make(chan error, 32)
	var work sync.WaitGroup
	for range 32 {
		work.Add(1)
		go func() {
			defer work.Done()
			for number := range numbers {
				mutex := concurrency.NewMutex(session, fmt.Sprintf("/%s-%d", name, number))
				if err := mutex.Lock(context.Background()); err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			}
		}()
	}
	for number := range contest.processes {
		numbers <- number
	}
	close(numbers)
	work.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	if err := printAndWait("holding"); err != nil {
		return err
	}
	select {
	case <-session.Done():
		return fmt.Errorf("the session is over")
	default:
		fmt.Println("held", contest.processes)
		return nil
	}
}

// run lets each process lock, work and unlock in a loop until the round ends. A wait that is under way then is not
// counted.
func run(contest Contest, open func(int) (lock func(context.Context) error, unlock func() error)) (Result, error) {
	// Not a deadline, because the error of a request may tell of one before the context does.
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	time.AfterFunc(contest.length, stop)
	result := Result{Rounds: make([]int, contest.processes)}
	longest := make([]time.Duration, contest.processes)
	failed := make(chan error, contest.processes)
	var work sync.WaitGroup
	for i := range contest.processes {
		work.Add(1)
		go func() {
			defer work.Done()
			lock, unlock := open(i)
			random := rand.New(rand.NewSource(int64(i) + 1))
			for ctx.Err() == nil {
				if contest.pause > 0 {
					time.Sleep(time.Duration(random.Int63n(int64(contest.pause))))
				}
				asked := time.Now()
				err := lock(ctx)
				longest[i] = max(longest[i], time.Since(asked))
				if ctx.Err() != nil {
					if err == nil {
						err = unlock()
					}
					return
				}
				if err != nil {
					failed <- err
					return
				}
				time.Sleep(contest.hold)
				if err := unlock(); err != nil {
					failed <- err
					return
				}
				result.Rounds[i]++
			}
		}()
	}
	work.Wait()
	for _, wait := range longest {
		result.Longest = max(result.Longest, wait.Seconds())
	}
	select {
	case err := <-failed:
		return result, err
	default:
		return result, nil
	}
}
