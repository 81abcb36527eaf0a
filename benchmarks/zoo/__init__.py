"""Published policies: the arrays of finished runs needed for acting, with spec and scores."""
