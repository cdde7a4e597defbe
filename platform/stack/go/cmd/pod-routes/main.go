// Keeps a route to every other node's pod addresses on this node. Docker may hand a restarted node another
// address, so the routes are set again on every change and from time to time.
package main

import (
	"context"
	"log"
	"net"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

const resync = 30 * time.Second

func main() {
	config, err := rest.InClusterConfig()
	if err != nil {
		log.Fatalf("in-cluster configuration: %v", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		log.Fatalf("client: %v", err)
	}
	self := os.Getenv("NODE")
	factory := informers.NewSharedInformerFactory(client, resync)
	informer := factory.Core().V1().Nodes().Informer()
	ensure := func(obj any) {
		if node, ok := obj.(*corev1.Node); ok && node.Name != self {
			route(node)
		}
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    ensure,
		UpdateFunc: func(_, obj any) { ensure(obj) },
		DeleteFunc: func(obj any) {
			if node, ok := obj.(*corev1.Node); ok {
				unroute(node)
			}
		},
	}); err != nil {
		log.Fatalf("node events: %v", err)
	}
	ctx := context.Background()
	factory.Start(ctx.Done())
	<-ctx.Done()
	select {}
}

func destination(node *corev1.Node) *net.IPNet {
	_, cidr, err := net.ParseCIDR(node.Spec.PodCIDR)
	if err != nil {
		return nil // not allocated yet; the update that allocates it comes here again
	}
	return cidr
}

func route(node *corev1.Node) {
	cidr := destination(node)
	for _, address := range node.Status.Addresses {
		if cidr == nil || address.Type != corev1.NodeInternalIP {
			continue
		}
		if err := netlink.RouteReplace(&netlink.Route{Dst: cidr, Gw: net.ParseIP(address.Address)}); err != nil {
			log.Printf("route to %s (%s via %s): %v", node.Name, cidr, address.Address, err)
		}
		return
	}
}

func unroute(node *corev1.Node) {
	if cidr := destination(node); cidr != nil {
		if err := netlink.RouteDel(&netlink.Route{Dst: cidr}); err != nil {
			log.Printf("remove route to %s: %v", node.Name, err)
		}
	}
}
