// Package standins is what a real cluster has and the test cluster cannot pull: a storage provisioner and an Ingress
// controller. Test-only: both do the least that makes the objects mean something.
package standins

import (
	"context"
	"net"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// retry is how soon a change that the API server did not take is tried again.
const retry = 2 * time.Second

// NewCommand makes the component that runs both.
func NewCommand() *cobra.Command {
	command := &cobra.Command{Use: "standins", Args: cobra.NoArgs, SilenceUsage: true}
	kubeconfig := command.Flags().String("kubeconfig", "", "how to reach the API server")
	volumes := command.Flags().String("volumes", "", "folder that holds the volumes' folders")
	listen := command.Flags().String("listen", "", "address and port of the Ingress controller")
	command.RunE = func(*cobra.Command, []string) error {
		return run(context.Background(), *kubeconfig, *volumes, *listen)
	}
	return command
}

func run(ctx context.Context, kubeconfig, volumes, listen string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	objects := informers.NewSharedInformerFactory(client, retry)
	storage := storage{client, volumes}
	ingress := newIngress(client, objects, listener.Addr())
	for _, err := range []error{
		handle(ctx, objects.Core().V1().PersistentVolumeClaims().Informer(), storage.provision),
		handle(ctx, objects.Core().V1().PersistentVolumeClaims().Informer(), storage.grow),
		handle(ctx, objects.Core().V1().PersistentVolumes().Informer(), storage.release),
		handle(ctx, objects.Networking().V1().Ingresses().Informer(), ingress.publish),
	} {
		if err != nil {
			return err
		}
	}
	objects.Start(ctx.Done())
	objects.WaitForCacheSync(ctx.Done())
	return ingress.serve(listener)
}

// copied is an object that a handler may change.
type copied[T any] interface{ DeepCopy() T }

// handle gives a copy of every object to reconcile, once it changed and every while: a failure is met again.
func handle[T copied[T]](ctx context.Context, informer cache.SharedIndexInformer, reconcile func(context.Context, T) error) error {
	one := func(object any) {
		if err := reconcile(ctx, object.(T).DeepCopy()); err != nil {
			klog.ErrorS(err, "tried again in a while", "after", retry)
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: one, UpdateFunc: func(_, now any) { one(now) }}
	_, err := informer.AddEventHandler(handler)
	return err
}
