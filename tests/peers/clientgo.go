package main

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

// electors measures processes that want one Lease, each with a client and an elector of its own with the usual times.
// A round is a run of the elector that leads, works, and gives the lead back.
func electors(kubeconfig, namespace, name string, contest Contest) (Result, error) {
	clients, err := dialServer(kubeconfig, contest.processes)
	if err != nil {
		return Result{}, err
	}
	return run(contest, func(i int) (func(context.Context) error, func() error) {
		return elector(clients[i], namespace, name, fmt.Sprintf("elector-%d", i))
	})
}

// dialServer makes clients of the API server without a limit of their own.
func dialServer(kubeconfig string, count int) ([]kubernetes.Interface, error) {
	klog.SetLogger(klog.Logger{})
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	clients := make([]kubernetes.Interface, count)
	for i := range clients {
		if clients[i], err = kubernetes.NewForConfig(config); err != nil {
			return nil, err
		}
	}
	return clients, nil
}

// elector returns how to lead with an elector, and how to give the lead back.
func elector(client kubernetes.Interface, namespace, name, identity string) (func(context.Context) error, func() error) {
	// The end of the run that leads, and its report.
	var end context.CancelFunc
	var over chan struct{}
	lock := func(ctx context.Context) error {
		leads := make(chan struct{})
		over = make(chan struct{})
		var running context.Context
		running, end = context.WithCancel(context.Background())
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: &resourcelock.LeaseLock{
				LeaseMeta:  metav1.ObjectMeta{Name: name, Namespace: namespace},
				Client:     client.CoordinationV1(),
				LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
			},
			LeaseDuration:   15 * time.Second,
			RenewDeadline:   10 * time.Second,
			RetryPeriod:     2 * time.Second,
			ReleaseOnCancel: true,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(context.Context) { close(leads) },
				OnStoppedLeading: func() {},
			},
		})
		if err != nil {
			return err
		}
		go func() {
			defer close(over)
			elector.Run(running)
		}()
		select {
		case <-leads:
			return nil
		case <-ctx.Done():
			end()
			<-over
			return ctx.Err()
		}
	}
	unlock := func() error {
		end()
		<-over
		return nil
	}
	return lock, unlock
}
