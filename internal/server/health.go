package server

import (
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	coordv1 "coordd.dev/api/coord/v1"
)

// fitness is gRPC's health service, and of what it tells.
type fitness struct {
	*health.Server
	services []string
}

// servicesOf are the services of the protocol that are registered; "" is all of them.
func servicesOf(s *grpc.Server) []string {
	services := []string{""}
	for name := range s.GetServiceInfo() {
		if strings.HasPrefix("/"+name, protocolPrefix) {
			services = append(services, name)
		}
	}
	return services
}

// publish says that all services may be used, or none but one: Status answers in any
// state.
func (f fitness) publish(ready bool) {
	for _, name := range f.services {
		status := healthv1.HealthCheckResponse_NOT_SERVING
		if ready || name == coordv1.ClusterService_ServiceDesc.ServiceName {
			status = healthv1.HealthCheckResponse_SERVING
		}
		f.SetServingStatus(name, status)
	}
}
