package standins

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"

	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
)

// ingressClass is the class that testcluster makes.
const ingressClass = "standin"

// ingress proxies plain HTTP by host and path straight to ready pods. No TLS, no default backend.
type ingress struct {
	client    kubernetes.Interface
	address   string
	ingresses networkinglisters.IngressLister
	services  corelisters.ServiceLister
	slices    discoverylisters.EndpointSliceLister
}

func newIngress(client kubernetes.Interface, objects informers.SharedInformerFactory, address net.Addr) *ingress {
	return &ingress{
		client:    client,
		address:   address.(*net.TCPAddr).IP.String(),
		ingresses: objects.Networking().V1().Ingresses().Lister(),
		services:  objects.Core().V1().Services().Lister(),
		slices:    objects.Discovery().V1().EndpointSlices().Lister(),
	}
}

func ours(i *networking.Ingress) bool {
	return i.Spec.IngressClassName != nil && *i.Spec.IngressClassName == ingressClass
}

// publish says in the Ingress's status where it is reached.
func (g *ingress) publish(ctx context.Context, i *networking.Ingress) error {
	published := i.Status.LoadBalancer.Ingress
	if !ours(i) || len(published) == 1 && published[0].IP == g.address {
		return nil
	}
	i.Status.LoadBalancer.Ingress = []networking.IngressLoadBalancerIngress{{IP: g.address}}
	_, err := g.client.NetworkingV1().Ingresses(i.Namespace).UpdateStatus(ctx, i, meta.UpdateOptions{})
	return err
}

func (g *ingress) serve(listener net.Listener) error {
	return http.Serve(listener, g)
}

func (g *ingress) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	namespace, backend := g.route(r)
	if backend == nil {
		http.Error(w, "no Ingress has a rule for this host and path", http.StatusNotFound)
		return
	}
	target, err := g.endpoint(namespace, backend)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	proxy := httputil.ReverseProxy{
		FlushInterval: -1, // streamed answers arrive as they are written
		Rewrite: func(request *httputil.ProxyRequest) {
			request.SetURL(&url.URL{Scheme: "http", Host: target})
			request.Out.Host = request.In.Host
			request.SetXForwarded()
		},
	}
	proxy.ServeHTTP(w, r)
}

// route finds the backend of the longest path that matches; an exact one wins over a prefix of the same length.
func (g *ingress) route(r *http.Request) (namespace string, backend *networking.IngressServiceBackend) {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	all, _ := g.ingresses.List(labels.Everything())
	best := -1
	for _, i := range all {
		for _, rule := range i.Spec.Rules {
			if !ours(i) || rule.HTTP == nil || rule.Host != "" && rule.Host != host {
				continue
			}
			for _, path := range rule.HTTP.Paths {
				if rank := rank(path, r.URL.Path); rank > best && path.Backend.Service != nil {
					best, namespace, backend = rank, i.Namespace, path.Backend.Service
				}
			}
		}
	}
	return namespace, backend
}

func rank(rule networking.HTTPIngressPath, path string) int {
	prefix := strings.TrimSuffix(rule.Path, "/")
	switch {
	case rule.PathType != nil && *rule.PathType == networking.PathTypeExact:
		if rule.Path == path {
			return 2*len(rule.Path) + 1
		}
	case path == prefix || strings.HasPrefix(path, prefix+"/"):
		return 2 * len(prefix)
	}
	return -1
}

// endpoint picks a ready pod behind the Service, as host:port.
func (g *ingress) endpoint(namespace string, backend *networking.IngressServiceBackend) (string, error) {
	service, err := g.services.Services(namespace).Get(backend.Name)
	if err != nil {
		return "", err
	}
	slices, _ := g.slices.EndpointSlices(namespace).List(labels.SelectorFromSet(labels.Set{discovery.LabelServiceName: service.Name}))
	var ready []string
	for _, port := range service.Spec.Ports {
		if port.Name == backend.Port.Name && port.Name != "" || port.Port == backend.Port.Number {
			ready = append(ready, readyOn(slices, port)...)
		}
	}
	if len(ready) == 0 {
		return "", fmt.Errorf("service %s/%s has no ready endpoint", namespace, service.Name)
	}
	return ready[rand.IntN(len(ready))], nil
}

func readyOn(slices []*discovery.EndpointSlice, port core.ServicePort) (addresses []string) {
	for _, slice := range slices {
		for _, open := range slice.Ports {
			if open.Name == nil || *open.Name != port.Name || open.Port == nil {
				continue
			}
			for _, endpoint := range slice.Endpoints {
				if endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready {
					addresses = append(addresses, net.JoinHostPort(endpoint.Addresses[0], strconv.Itoa(int(*open.Port))))
				}
			}
		}
	}
	return addresses
}
